package cidxapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// life is how long a token is used: CIDX's default of 10 minutes, less a
// margin. An operator may have set less; a refused token is renewed as well.
const life = 9 * time.Minute

// Token is what a login has given, or the API key: good for another node of the
// same cluster, too.
func (c *Client) Token(ctx context.Context) (string, error) { return c.authorise(ctx) }

// authorise returns a bearer token that should still be good.
func (c *Client) authorise(ctx context.Context) (string, error) {
	if c.options.Key != "" {
		return c.options.Key, nil
	}
	if !c.Credentials() {
		return "", problem.Problem{What: "no credentials for the API", At: c.Base(),
			Fix: "set cidx_api_key, or cidx_api_user and cidx_api_password, of an administrator"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && time.Now().Before(c.expires) {
		return c.token, nil
	}
	token, err := c.login(ctx)
	if err != nil {
		return "", err
	}
	secret.Keep(ctx, token)
	c.token, c.expires = token, time.Now().Add(life)
	return token, nil
}

// forget drops a refused token, unless another goroutine already has a new one.
func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// session is the answer of /auth/login and /auth/mfa/verify.
type session struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	MFARequired  bool   `json:"mfa_required"`
	MFAToken     string `json:"mfa_token"`
}

// login fetches a token. CIDX accepts a one-time password once, and one period
// early or late: when the current one was spent a moment ago (by an earlier step
// of this run), the next one is offered, then the one after it awaited. Each
// attempt needs a new challenge, because a challenge works once.
func (c *Client) login(ctx context.Context) (string, error) {
	now := step(time.Now())
	for attempt := int64(0); ; attempt++ {
		s, err := c.post(ctx, "/auth/login", map[string]string{"username": c.options.User, "password": c.options.Password})
		if err != nil {
			return "", err
		}
		if !s.MFARequired {
			return c.tokenOf(s, "/auth/login")
		}
		if c.key == nil {
			return "", problem.Problem{What: fmt.Sprintf("user %q has MFA", c.options.User), At: c.Base() + "/auth/login",
				Fix: "set cidx_api_totp_secret, or use cidx_api_key, which needs no second factor"}
		}
		if attempt == 2 {
			next := time.Unix((now+1)*int64(period/time.Second), 0)
			if err := wait(ctx, time.Until(next), "for the next one-time password"); err != nil {
				return "", fmt.Errorf("log in at %s: %w", c.Base(), err)
			}
		}
		secret.Keep(ctx, s.MFAToken)
		s, err = c.post(ctx, "/auth/mfa/verify", map[string]string{"mfa_token": s.MFAToken, "totp_code": totp(c.key, now+attempt)})
		if err == nil {
			return c.tokenOf(s, "/auth/mfa/verify")
		}
		var refused *StatusError
		if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized || attempt == 2 {
			return "", mfaFix(err)
		}
	}
}

// mfaFix says what a refused one-time password may mean.
func mfaFix(err error) error {
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		refused.Fix = "check cidx_api_totp_secret and this machine's clock; " +
			"if both are right, the server's MFA key is not the one the user was enrolled with"
	}
	return err
}

func (c *Client) tokenOf(s session, path string) (string, error) {
	if s.AccessToken == "" {
		return "", problem.Problem{What: "the answer holds no access_token", At: c.Base() + path,
			Fix: "check that cidx_url is the address of a CIDX server"}
	}
	return s.AccessToken, nil
}

// post sends an anonymous request of the login.
func (c *Client) post(ctx context.Context, path string, body any) (session, error) {
	for attempt := 0; ; attempt++ {
		res, raw, err := c.send(ctx, http.MethodPost, path, "", body)
		if err != nil {
			return session{}, err
		}
		var s session
		if res.StatusCode == http.StatusOK {
			err := json.Unmarshal(raw, &s)
			if err != nil {
				return s, fmt.Errorf("decode answer of POST %s%s: %w", c.Base(), path, err)
			}
			secret.Keep(ctx, s.AccessToken, s.RefreshToken, s.MFAToken)
			return s, nil
		}
		failure := statusError(http.MethodPost, c.Base()+path, res, raw)
		if attempt >= 3 || !c.backOff(ctx, failure) {
			return s, failure
		}
	}
}
