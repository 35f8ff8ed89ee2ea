package cidxapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

func TestHealthz(t *testing.T) {
	cases := map[string]struct {
		answers map[string][2]any // path: status, body
		want    Liveness
		refused string
	}{
		"11.69 and later, healthy":          {answers: map[string][2]any{"/healthz": {200, `{"status":"healthy"}`}}, want: Liveness{Healthy, "/healthz"}},
		"degraded":                          {answers: map[string][2]any{"/healthz": {200, `{"status":"degraded"}`}}, want: Liveness{Degraded, "/healthz"}},
		"unhealthy comes with 503":          {answers: map[string][2]any{"/healthz": {503, `{"status":"unhealthy"}`}}, want: Liveness{Unhealthy, "/healthz"}},
		"before 11.65, open documentation":  {answers: map[string][2]any{"/docs": {200, `<html>`}}, want: Liveness{Answers, "/docs"}},
		"before 11.65, health wants login":  {answers: map[string][2]any{"/health": {401, `{"detail":"Not authenticated"}`}}, want: Liveness{Answers, "/health"}},
		"another server":                    {answers: map[string][2]any{"/": {404, `nothing`}}, refused: "not as CIDX does"},
		"another server that says yes":      {answers: map[string][2]any{"/healthz": {200, `ok`}}, refused: "not as CIDX does"},
		"a proxy whose server is not there": {answers: map[string][2]any{"/healthz": {502, `<html>bad gateway`}}, refused: "502"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			for path, a := range c.answers {
				f.answer(path, a[0].(int), a[1].(string))
			}
			client, ctx := f.client(t, Options{})
			got, err := client.Healthz(ctx)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, %v; want a refusal with %q", got, err, c.refused)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	f := newFake(t)
	f.Close()
	client, ctx := f.client(t, Options{})
	_, err := client.Healthz(ctx)
	var silent *NoAnswer
	var one problem.Problem
	if !errors.As(err, &silent) || !errors.As(err, &one) || !strings.Contains(one.At, "/healthz") {
		t.Errorf("got %v", err)
	}
}

func TestLogin(t *testing.T) {
	cases := map[string]struct {
		options Options
		mfa     bool
		spent   int64 // relative to the current step
		refused string
	}{
		"user and password":                        {},
		"an API key needs no login":                {options: Options{Key: fakeKey}},
		"wrong API key":                            {options: Options{Key: "cidx_sk_wrong"}, refused: "401"},
		"wrong password":                           {options: Options{User: "ops", Password: "hunter22"}, refused: "Invalid username or password (fix: check cidx_api_user"},
		"expired password":                         {options: Options{User: "old", Password: fakePassword}, refused: "set a new password"},
		"no password":                              {options: Options{User: "ops"}, refused: "no credentials"},
		"second factor":                            {options: Options{User: "ops", Password: fakePassword, TOTP: fakeTOTP}, mfa: true, spent: -9},
		"second factor, this period's code spent":  {options: Options{User: "ops", Password: fakePassword, TOTP: fakeTOTP}, mfa: true, spent: 0},
		"second factor without its secret":         {mfa: true, refused: "set cidx_api_totp_secret"},
		"second factor on a server with a new key": {options: Options{User: "ops", Password: fakePassword, TOTP: "MFRGGZDFMZTWQ2LK", Patience: 1}, mfa: true, refused: "log in"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.mfa, f.spent = c.mfa, step(time.Now())+c.spent
			f.guarded("GET /health", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, `{"status":"healthy"}`) })
			client, ctx := f.client(t, c.options)
			ctx, cancel := contextWithin(ctx, 900*time.Millisecond)
			defer cancel()
			_, err := client.Health(ctx)
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, want a refusal with %q", err, c.refused)
			case err != nil && (strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), "cidx_sk_wrong")):
				t.Error("the message repeats a secret")
			}
		})
	}
}

func TestTokenIsRenewedOnceForAllThatAskTogether(t *testing.T) {
	f := newFake(t)
	f.guarded("GET /api/admin/golden-repos", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, `{"golden_repositories":[{"alias":"billing","clone_path":"/x"}],"total":1}`)
	})
	client, ctx := f.client(t, Options{})
	if _, err := client.Token(ctx); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.token = "the server was restarted with another key"
	f.mu.Unlock()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if list, err := client.GoldenRepos(ctx); err != nil || len(list) != 1 || list[0].Alias != "billing" {
				t.Errorf("got %v, %v", list, err)
			}
		})
	}
	all.Wait()
	if f.logins != 2 {
		t.Errorf("%d logins, want 2", f.logins)
	}
	if shown := secret.From(ctx).Hide("Bearer " + f.token); strings.Contains(shown, f.token) {
		t.Error("the token is not registered as a secret")
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	f := newFake(t)
	var calls atomic.Int32
	var first time.Time
	f.guarded("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			write(w, 429, `{"detail":"slow down"}`)
			return
		}
		write(w, 200, `{"status":"healthy","version":"11.79.0","active_jobs":2,"maintenance_mode":true}`)
	})
	client, ctx := f.client(t, Options{})
	h, err := client.Health(ctx)
	if err != nil || h.Version != "11.79.0" || h.ActiveJobs != 2 || !h.Maintenance {
		t.Errorf("got %+v, %v", h, err)
	}
	if time.Since(first) < 900*time.Millisecond {
		t.Error("asked again before the server wanted it")
	}
}

func TestALongRetryAfterIsAMessageNotAWait(t *testing.T) {
	f := newFake(t)
	f.mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "900")
		write(w, 429, `{"detail":{"error":"locked_out","message":"too many failures"}}`)
	})
	client, ctx := f.client(t, Options{})
	_, err := client.GoldenRepos(ctx)
	var refused *StatusError
	if !errors.As(err, &refused) || refused.RetryAfter != 15*time.Minute || refused.Code != "locked_out" || !strings.Contains(err.Error(), "wait 15m0s") {
		t.Errorf("got %v", err)
	}
}

func TestBothShapesOfErrors(t *testing.T) {
	cases := map[string]struct{ body, want string }{
		"detail as text":      {`{"detail":"Admin access required"}`, "GET answered 403: Admin access required"},
		"detail as an object": {`{"detail":{"error_code":7}}`, `GET answered 403: {"error_code":7}`},
		"error and message":   {`{"error":"forbidden","message":"no","correlation_id":"c","timestamp":"t"}`, "GET answered 403 forbidden: no"},
		"validation errors":   {`{"detail":[{"loc":["body"],"msg":"x"}]}`, `GET answered 403: [{"loc":["body"],"msg":"x"}]`},
		"not JSON":            {`<html>`, "GET answered 403: Forbidden"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.answer("/api/system/health", 403, c.body)
			client, ctx := f.client(t, Options{})
			_, err := client.SystemHealth(ctx)
			if problems := problem.Of(err); len(problems) != 1 || problems[0].What != c.want || problems[0].Fix == "" {
				t.Errorf("got %v, want %q", problems, c.want)
			}
		})
	}
}

func TestRedirectsNeverCarryTheTokenAway(t *testing.T) {
	stolen := ""
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen = fmt.Sprint("asked with ", r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	f := newFake(t)
	f.mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"/health", http.StatusTemporaryRedirect)
	})
	client, ctx := f.client(t, Options{Key: fakeKey})
	if _, err := client.Health(ctx); err == nil || stolen != "" {
		t.Errorf("got %v, the other server was %s", err, stolen)
	}
}
