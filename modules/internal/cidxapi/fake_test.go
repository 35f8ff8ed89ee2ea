package cidxapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cidx-cluster/modules/internal/secret"
)

// fake answers as CIDX 11.79 does, as far as a test says.
type fake struct {
	*httptest.Server
	mux *http.ServeMux

	mu     sync.Mutex
	logins int
	spent  int64 // last one-time password's step, 0: MFA is off
	mfa    bool
	token  string // the only good one
}

const (
	fakePassword = "correct horse"
	fakeTOTP     = "JBSWY3DPEHPK3PXP"
	fakeKey      = "cidx_sk_0123456789abcdef"
)

func newFake(t *testing.T) *fake {
	f := &fake{mux: http.NewServeMux()}
	f.mux.HandleFunc("POST /auth/login", f.login)
	f.mux.HandleFunc("POST /auth/mfa/verify", f.verify)
	f.Server = httptest.NewServer(f.mux)
	t.Cleanup(f.Close)
	return f
}

// answer registers a fixed answer; a path that asks for a login is guarded.
func (f *fake) answer(pattern string, status int, body string) {
	f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { write(w, status, body) })
}

func (f *fake) guarded(pattern string, handle http.HandlerFunc) {
	f.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		good := r.Header.Get("Authorization") == "Bearer "+f.token || r.Header.Get("Authorization") == "Bearer "+fakeKey
		f.mu.Unlock()
		if !good {
			write(w, 401, `{"detail":"Invalid authentication credentials"}`)
			return
		}
		handle(w, r)
	})
}

// tool registers what /mcp answers: the inner object, or a JSON-RPC error.
func (f *fake) tool(inner map[string]string, rpcError string) {
	f.guarded("POST /mcp", func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Params struct {
				Name string `json:"name"`
			} `json:"params"`
		}
		_ = json.NewDecoder(r.Body).Decode(&req)
		if rpcError != "" {
			write(w, 200, `{"jsonrpc":"2.0","id":1,"error":`+rpcError+`}`)
			return
		}
		text, _ := json.Marshal(inner[req.Params.Name])
		write(w, 200, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":`+string(text)+`}]}}`)
	})
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logins++
	var in struct{ Username, Password string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	switch {
	case in.Username == "old":
		write(w, 403, `{"detail":"password_expired: set a new one"}`)
	case in.Password != fakePassword:
		write(w, 401, `{"detail":"Invalid username or password"}`)
	case f.mfa:
		write(w, 200, fmt.Sprintf(`{"mfa_required":true,"mfa_token":"challenge-%d"}`, f.logins))
	default:
		f.grant(w)
	}
}

func (f *fake) grant(w http.ResponseWriter) {
	f.token = fmt.Sprintf("eyJ.token.%d", f.logins)
	write(w, 200, `{"access_token":"`+f.token+`","token_type":"bearer","user":{"username":"ops","role":"admin"},"refresh_token":"refresh-me","refresh_token_expires_in":604800}`)
}

// verify accepts a one-time password of the neighbouring steps, each once, as
// CIDX does.
func (f *fake) verify(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var in struct {
		Token string `json:"mfa_token"`
		Code  string `json:"totp_code"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	key, _ := totpKey(fakeTOTP)
	now := step(time.Now())
	for s := now - 1; s <= now+1; s++ {
		if in.Token == fmt.Sprintf("challenge-%d", f.logins) && in.Code == totp(key, s) && s > f.spent {
			f.spent = s
			f.grant(w)
			return
		}
	}
	write(w, 401, `{"error":"invalid_mfa","message":"Invalid MFA code","correlation_id":"c","timestamp":"t"}`)
}

func write(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// client logs in as ops unless o says otherwise.
func (f *fake) client(t *testing.T, o Options) (*Client, context.Context) {
	t.Helper()
	if o.Base == "" {
		o.Base = f.URL
	}
	if o.User == "" && o.Key == "" {
		o.User, o.Password = "ops", fakePassword
	}
	ctx := secret.With(t.Context(), secret.New())
	c, err := New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, ctx
}
