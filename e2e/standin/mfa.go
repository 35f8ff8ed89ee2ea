package standin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

var errCode = refuse(http.StatusUnauthorized, "Invalid MFA code")

// verifyMFA answers a challenge with a TOTP or a recovery code; a wrong one uses the challenge up as well. Both need the MFA key under which they were stored.
func (s *Server) verifyMFA(r *http.Request) (any, error) {
	var in struct {
		Token    string `json:"mfa_token"`
		Code     string `json:"totp_code"`
		Recovery string `json:"recovery_code"`
	}
	if err := body(r, &in); err != nil {
		return nil, err
	}
	c, ok := s.gate.answer(in.Token, client(r), time.Now())
	if !ok {
		return nil, refuse(http.StatusUnauthorized, "Invalid or expired MFA token")
	}
	check := s.checkTOTP
	given := in.Code
	if in.Recovery != "" {
		check, given = s.useRecovery(client(r)), in.Recovery
	}
	if err := check(r.Context(), c.user, strings.TrimSpace(given)); err != nil {
		return nil, err
	}
	return s.admit(r.Context(), user{c.user, c.role})
}

func (s *Server) mfaRow(ctx context.Context, name string) (schema.Row, error) {
	return s.store.Row1(ctx, "user_mfa", "SELECT * FROM user_mfa WHERE user_id = ?", name)
}

func (s *Server) checkTOTP(ctx context.Context, name, code string) error {
	row, err := s.mfaRow(ctx, name)
	if err != nil {
		return err
	}
	secret, err := s.secrets.mfa.Open(row.Text("encrypted_secret"))
	if err != nil {
		s.log.Printf("MFA of %s: %v", name, err)
		return errCode
	}
	counter, ok := crypt.MatchTOTP(secret, code, time.Now(), row.Int("last_used_otp_counter"))
	if !ok {
		return errCode
	}
	_, err = s.store.Exec(ctx, "user_mfa", "UPDATE user_mfa SET last_used_otp_counter = ? WHERE user_id = ?", counter, name)
	return err
}

// useRecovery spends a recovery code: an unused row with the code's hash under the MFA key.
func (s *Server) useRecovery(address string) func(context.Context, string, string) error {
	return func(ctx context.Context, name, code string) error {
		row, err := s.store.Row1(ctx, "user_recovery_codes",
			"SELECT id FROM user_recovery_codes WHERE user_id = ? AND code_hash = ? AND used_at IS NULL",
			name, s.secrets.mfa.RecoveryHash(code))
		if err != nil || row == nil {
			return orElse(err, errCode)
		}
		now := time.Now().UTC().Format("2006-01-02 15:04:05")
		_, err = s.store.Exec(ctx, "user_recovery_codes",
			"UPDATE user_recovery_codes SET used_at = ?, used_ip = ? WHERE id = ?", now, address, row.Int("id"))
		return err
	}
}
