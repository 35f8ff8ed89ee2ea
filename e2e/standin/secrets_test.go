package standin

import (
	"os"
	"testing"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

func TestWhatAForgottenSecretCosts(t *testing.T) {
	t.Run("without the MFA key every MFA user is locked out", func(t *testing.T) {
		f := loaded(t)
		f.inPostgres(func(s *schema.Store) {
			_, err := s.Exec(t.Context(), "cluster_secrets", "DELETE FROM cluster_secrets WHERE key_name = ?", "mfa_encryption_key")
			must(t, err)
		})
		if status := mfaLogin(f.start()); status != 401 {
			t.Errorf("MFA: %d", status)
		}
	})
	t.Run("without the salt file no token opens", func(t *testing.T) {
		f := loaded(t)
		must(t, os.Remove(f.path(".encryption_key_salt")))
		_, out := f.start().call("GET", "/api/admin/tokens/check", opsKey, nil)
		if ci := out["ci_tokens"].(map[string]any); ci["opened"] != 0.0 || len(ci["sealed"].([]any)) != 1 {
			t.Errorf("tokens: %v", out)
		}
	})
	t.Run("a foreign jwt_secret row wins over the file", func(t *testing.T) {
		f := loaded(t)
		f.inPostgres(func(s *schema.Store) {
			_, err := s.Exec(t.Context(), "cluster_secrets", "UPDATE cluster_secrets SET key_value = 'other' WHERE key_name = ?", "jwt_secret")
			must(t, err)
		})
		token := crypt.SignJWT("jwt-of-the-old-server", crypt.Claims{Username: "ops", ID: "x", Expires: 1e11})
		if status, _ := f.start().call("GET", "/health", token, nil); status != 401 {
			t.Errorf("old session: %d", status)
		}
	})
}

func mfaLogin(r *running) int {
	r.t.Helper()
	_, out := r.call("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "pw-admin"})
	code, err := crypt.TOTP(totpSecret, time.Now().Unix()/30)
	must(r.t, err)
	status, _ := r.call("POST", "/auth/mfa/verify", "", map[string]any{"mfa_token": out["mfa_token"], "totp_code": code})
	return status
}

func tokenOf(r *running) string {
	r.t.Helper()
	_, out := r.call("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "admin"})
	token, _ := out["access_token"].(string)
	return token
}
