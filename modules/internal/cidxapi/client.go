package cidxapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
)

// Options say where the server is and who asks. Give Key, or User and Password.
type Options struct {
	Base     string        // from Find
	User     string        // for /auth/login
	Password string        // secret
	TOTP     string        // base32 secret of the user's second factor; "" without MFA
	Key      string        // an API key, cidx_sk_…; wins over User
	Timeout  time.Duration // of one request; 0: 30 s
	Patience time.Duration // the longest Retry-After that is waited for; 0: 65 s
}

// maxBody bounds what is read of one answer.
const maxBody = 64 << 20

// Client asks one server. Make it with New.
type Client struct {
	options Options
	base    *url.URL
	http    *http.Client
	key     []byte // of TOTP

	mu      sync.Mutex // one login at a time
	token   string
	expires time.Time
}

// New returns a Client; nothing is sent yet. Secrets of o are registered with
// the keeper of ctx. The error is a problem.Problem.
func New(ctx context.Context, o Options) (*Client, error) {
	secret.Keep(ctx, o.Password, o.TOTP, o.Key)
	text, err := parseBase(o.Base)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w", text, err)
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 65 * time.Second
	}
	c := &Client{options: o, base: base}
	if o.TOTP != "" {
		if c.key, err = totpKey(o.TOTP); err != nil {
			return nil, err
		}
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second}
	c.http = &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: c.stay}
	return c, nil
}

// Base is the server's address, for messages.
func (c *Client) Base() string { return c.base.String() }

// Credentials reports whether something to log in with was given.
func (c *Client) Credentials() bool {
	return c.options.Key != "" || (c.options.User != "" && c.options.Password != "")
}

// stay refuses redirects that leave the server: they would carry the token.
func (c *Client) stay(req *http.Request, via []*http.Request) error {
	if req.URL.Host != c.base.Host || req.URL.Scheme != c.base.Scheme {
		return fmt.Errorf("refused: redirects to %s", req.URL.Host)
	}
	if len(via) >= 3 {
		return errors.New("refused: redirects in a circle")
	}
	return nil
}

// send makes one request and reads the answer; a status is not judged. token
// "" sends none.
func (c *Client) send(ctx context.Context, method, path, token string, body any) (*http.Response, []byte, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, nil, fmt.Errorf("encode %s: %w", path, err)
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base()+path, content)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, c.silent(method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, nil, c.silent(method, path, err)
	}
	if len(raw) > maxBody {
		return nil, nil, fmt.Errorf("%s %s%s: answer is longer than %d bytes", method, c.Base(), path, maxBody)
	}
	return res, raw, nil
}

// NoAnswer is a request to which no HTTP answer came: nobody listens, the
// connection broke, time ran out.
type NoAnswer struct {
	URL   string
	Cause error
}

// Error names the address and the cause.
func (e *NoAnswer) Error() string { return e.URL + ": " + e.Cause.Error() }

// Unwrap returns the cause and a problem.Problem.
func (e *NoAnswer) Unwrap() []error {
	return []error{e.Cause, problem.Problem{What: "no answer: " + e.Cause.Error(), At: e.URL,
		Fix: "check that the server runs, and that cidx_url is its address"}}
}

func (c *Client) silent(method, path string, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // its text repeats method and address
	}
	return &NoAnswer{URL: method + " " + c.Base() + path, Cause: err}
}

// call makes an authorised request and decodes a success into out. A token that
// ran out is renewed once; 429 is waited for as the server asks.
func (c *Client) call(ctx context.Context, method, path string, body, out any) error {
	renewed := false
	for attempt := 0; ; attempt++ {
		token, err := c.authorise(ctx)
		if err != nil {
			return err
		}
		res, raw, err := c.send(ctx, method, path, token, body)
		if err != nil {
			return err
		}
		switch {
		case res.StatusCode >= 200 && res.StatusCode < 300:
			if err := json.Unmarshal(raw, out); err != nil {
				return fmt.Errorf("decode answer of %s %s%s: %w", method, c.Base(), path, err)
			}
			return nil
		case res.StatusCode == http.StatusUnauthorized && c.options.Key == "" && !renewed:
			renewed = true
			c.forget(token)
			continue
		}
		failure := statusError(method, c.Base()+path, res, raw)
		if attempt >= 3 || !c.backOff(ctx, failure) {
			return failure
		}
	}
}

// backOff waits out a 429 and reports whether to try again.
func (c *Client) backOff(ctx context.Context, e *StatusError) bool {
	if e.Status != http.StatusTooManyRequests || e.RetryAfter > c.options.Patience {
		return false
	}
	return wait(ctx, max(e.RetryAfter, time.Second), "the server limits requests") == nil
}

// wait sleeps for d, telling why every second. The error is the context's, at
// once where its deadline comes before the end of d.
func wait(ctx context.Context, d time.Duration, why string) error {
	if end, ok := ctx.Deadline(); ok && time.Now().Add(d).After(end) {
		return context.DeadlineExceeded
	}
	done := time.After(d)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	start := time.Now()
	for {
		progress.Report(ctx, progress.Status{What: "waiting: " + why, Unit: "s",
			Done: int64(time.Since(start) / time.Second), Total: int64(d / time.Second)})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-done:
			return nil
		case <-tick.C:
		}
	}
}
