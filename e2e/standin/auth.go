package standin

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

const (
	jwtLife     = 10 * time.Minute
	refreshLife = 7 * 24 * time.Hour
)

// user is who makes a request.
type user struct{ name, role string }

var (
	errToken = unauthorized("Invalid token")
	errKey   = unauthorized("Invalid API key")
)

// authenticate accepts a JWT, an API key or an OAuth token as Bearer and, at /mcp, Basic with MCP credentials.
func (s *Server) authenticate(r *http.Request) (user, error) {
	header := r.Header.Get("Authorization")
	if id, secret, ok := r.BasicAuth(); ok && r.URL.Path == "/mcp" {
		return s.byClient(r.Context(), id, secret)
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return user{}, unauthorized("Missing authentication credentials")
	}
	if strings.HasPrefix(token, "cidx_sk_") {
		return s.byKey(r.Context(), token)
	}
	if strings.Count(token, ".") == 2 {
		return s.byJWT(r.Context(), token)
	}
	return s.byOAuth(r.Context(), token)
}

func (s *Server) byKey(ctx context.Context, key string) (user, error) {
	row, err := s.store.Row1(ctx, "user_api_keys", "SELECT username FROM user_api_keys WHERE key_sha256 = ?", crypt.KeyDigest(key))
	if err == nil && row == nil {
		err = errKey
	}
	return s.present(ctx, row, "username", err)
}

// byJWT also honours what ends a session early: the blacklist, invalidated sessions and a changed password.
func (s *Server) byJWT(ctx context.Context, token string) (user, error) {
	c, err := crypt.ReadJWT(s.secrets.jwt, token, time.Now())
	if err != nil {
		return user{}, errToken
	}
	dead, err := s.store.Row1(ctx, "token_blacklist", "SELECT jti FROM token_blacklist WHERE jti = ?", c.ID)
	if err != nil || dead != nil {
		return user{}, orElse(err, errToken)
	}
	dead, err = s.store.Row1(ctx, "invalidated_sessions",
		"SELECT username FROM invalidated_sessions WHERE username = ? AND token_id = ?", c.Username, c.ID)
	if err != nil || dead != nil {
		return user{}, orElse(err, errToken)
	}
	changed, err := s.store.Row1(ctx, "password_change_timestamps",
		"SELECT changed_at FROM password_change_timestamps WHERE username = ?", c.Username)
	if err != nil {
		return user{}, err
	}
	if at, ok := changed.Time("changed_at"); ok && float64(at.UnixMicro())/1e6 > c.Issued {
		return user{}, errToken
	}
	return s.present(ctx, schema.Row{"username": c.Username}, "username", nil)
}

func (s *Server) byOAuth(ctx context.Context, token string) (user, error) {
	row, err := s.store.Row1(ctx, "oauth_tokens", "SELECT user_id, expires_at FROM oauth_tokens WHERE access_token = ?", token)
	if err != nil {
		return user{}, err
	}
	if at, ok := row.Time("expires_at"); !ok || time.Now().After(at) {
		return user{}, errToken
	}
	return s.present(ctx, row, "user_id", nil)
}

func (s *Server) byClient(ctx context.Context, id, secret string) (user, error) {
	row, err := s.store.Row1(ctx, "user_mcp_credentials",
		"SELECT username, client_secret_hash FROM user_mcp_credentials WHERE client_id = ?", id)
	if err != nil {
		return user{}, err
	}
	if row == nil || !crypt.CheckPassword(secret, row.Text("client_secret_hash")) {
		return user{}, errToken
	}
	_, err = s.store.Exec(ctx, "user_mcp_credentials", "UPDATE user_mcp_credentials SET last_used_at = ? WHERE client_id = ?", stamp(time.Now()), id)
	if err != nil {
		return user{}, err
	}
	return s.present(ctx, row, "username", nil)
}

// present turns a row that names a user into that user, if the account exists.
func (s *Server) present(ctx context.Context, row schema.Row, column string, err error) (user, error) {
	if err != nil || row == nil {
		return user{}, orElse(err, errToken)
	}
	account, err := s.store.Row1(ctx, "users", "SELECT username, role FROM users WHERE username = ?", row.Text(column))
	if err != nil || account == nil {
		return user{}, orElse(err, errToken)
	}
	u := user{account.Text("username"), account.Text("role")}
	return u, s.checkSSO(ctx, u)
}

// checkSSO refuses users without an SSO identity while restrict_non_sso_to_web_ui is on.
func (s *Server) checkSSO(ctx context.Context, u user) error {
	row, err := s.store.Row1(ctx, "server_config", "SELECT config_json FROM server_config WHERE config_key = ?", "runtime")
	if err != nil {
		return err
	}
	doc := gjson.Parse(row.Text("config_json"))
	if !doc.Get("restrict_non_sso_to_web_ui").Bool() && !doc.Get("*.restrict_non_sso_to_web_ui").Bool() {
		return nil
	}
	link, err := s.store.Row1(ctx, "oidc_identity_links", "SELECT username FROM oidc_identity_links WHERE username = ?", u.name)
	if err != nil || link != nil {
		return err
	}
	return refuse(http.StatusForbidden, "Access is restricted to SSO users; use the web UI")
}

func (s *Server) login(r *http.Request) (any, error) {
	var in struct{ Username, Password string }
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if lacks := absent(map[string]string{"username": in.Username, "password": in.Password}); len(lacks) > 0 {
		return nil, missing(lacks...)
	}
	now := time.Now()
	ctx := r.Context()
	if err := s.enter(ctx, in.Username, now); err != nil {
		return nil, err
	}
	row, err := s.store.Row1(ctx, "users", "SELECT * FROM users WHERE username = ?", in.Username)
	if err != nil {
		return nil, err
	}
	if row == nil || !crypt.CheckPassword(in.Password, row.Text("password_hash")) {
		return nil, orElse(s.failed(ctx, in.Username, now), unauthorized("Invalid credentials"))
	}
	mfa, err := s.mfaRow(ctx, in.Username)
	if err != nil {
		return nil, err
	}
	if mfa.Flag("mfa_enabled") {
		return map[string]any{
			"mfa_required": true, "mfa_token": s.gate.challenge(in.Username, row.Text("role"), client(r), now),
		}, nil
	}
	return s.admit(ctx, user{in.Username, row.Text("role")})
}

// admit signs a JWT and opens a refresh-token family.
func (s *Server) admit(ctx context.Context, u user) (any, error) {
	if err := s.passed(ctx, u.name); err != nil {
		return nil, err
	}
	account, err := s.store.Row1(ctx, "users", "SELECT created_at FROM users WHERE username = ?", u.name)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	family, id, secret := crypt.RandomText(16), crypt.RandomText(16), crypt.RandomText(32)
	_, err = s.store.Insert(ctx, "token_families", schema.Row{
		"family_id": family, "username": u.name, "created_at": stamp(now), "last_used_at": stamp(now), "is_revoked": false,
	})
	if err != nil {
		return nil, err
	}
	_, err = s.store.Insert(ctx, "refresh_tokens", schema.Row{
		"token_id": id, "family_id": family, "username": u.name, "token_hash": crypt.KeyDigest(secret),
		"created_at": stamp(now), "expires_at": stamp(now.Add(refreshLife)), "is_used": false,
	})
	if err != nil {
		return nil, err
	}
	issued := float64(now.UnixMicro()) / 1e6
	token := crypt.SignJWT(s.secrets.jwt, crypt.Claims{
		Username: u.name, Role: u.role, ID: crypt.RandomText(16), Issued: issued, Expires: issued + jwtLife.Seconds(),
	})
	return map[string]any{
		"access_token": token, "token_type": "bearer", "user": map[string]any{"username": u.name, "role": u.role, "created_at": account.Text("created_at")},
		"refresh_token": secret, "refresh_token_expires_in": int(refreshLife.Seconds()),
	}, nil
}

// client is the address a request comes from.
func client(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// absent lists the members of a body that have no value, in alphabetical order.
func absent(members map[string]string) []string {
	var lacks []string
	for name, value := range members {
		if value == "" {
			lacks = append(lacks, name)
		}
	}
	slices.Sort(lacks)
	return lacks
}
