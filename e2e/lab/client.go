package lab

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/seed"
)

// Client talks to the server of a node as CIDX's own clients do.
type Client struct {
	node  *Node
	token string // bearer token: an API key, or what a login gave
}

// WithKey is a client with an API key.
func (n *Node) WithKey(key string) Client { return Client{node: n, token: key} }

// Login logs in with name and password, and with the second factor where the
// server asks for it.
func (n *Node) Login(ctx context.Context, a seed.Account) (Client, error) {
	c := Client{node: n}
	answer, err := c.post(ctx, "/auth/login", map[string]any{"username": a.User, "password": a.Password})
	if err != nil {
		return c, err
	}
	if answer.Get("mfa_required").Bool() {
		second, err := secondFactor(a, answer.Get("mfa_token").String())
		if err != nil {
			return c, err
		}
		if answer, err = c.post(ctx, "/auth/mfa/verify", second); err != nil {
			return c, err
		}
	} else if a.TOTPSecret != "" || a.RecoveryCode != "" {
		return c, fmt.Errorf("log in as %s: no second factor was wanted", a.User)
	}
	c.token = answer.Get("access_token").String()
	if c.token == "" {
		return c, fmt.Errorf("log in as %s: no token", a.User)
	}
	return c, nil
}

// secondFactor is a code of the account's authenticator, else its recovery code.
func secondFactor(a seed.Account, token string) (map[string]any, error) {
	switch {
	case a.TOTPSecret != "":
		code, err := totp(a.TOTPSecret, time.Now())
		return map[string]any{"mfa_token": token, "totp_code": code}, err
	case a.RecoveryCode != "":
		return map[string]any{"mfa_token": token, "recovery_code": a.RecoveryCode}, nil
	}
	return nil, fmt.Errorf("log in as %s: a second factor is wanted", a.User)
}

// Tool calls an MCP tool and returns its inner JSON; inner failure is an error.
func (c Client) Tool(ctx context.Context, name string, arguments any) (gjson.Result, error) {
	answer, err := c.post(ctx, "/mcp", map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call",
		"params": map[string]any{"name": name, "arguments": arguments}})
	if err != nil {
		return gjson.Result{}, err
	}
	inner := gjson.Parse(answer.Get("result.content.0.text").String())
	if !inner.Get("success").Bool() {
		return inner, fmt.Errorf("%s: %s%s", name, inner.Get("error").String(), answer.Get("error").Raw)
	}
	return inner, nil
}

// Search returns the number of hits for a word in a repository.
func (c Client) Search(ctx context.Context, alias, word, mode string) (int64, error) {
	inner, err := c.Tool(ctx, "search_code", map[string]any{"query_text": word, "repository_alias": alias, "search_mode": mode, "limit": 5})
	if err != nil {
		return 0, fmt.Errorf("search %s: %w", alias, err)
	}
	return inner.Get("results.total_results").Int(), nil
}

func (c Client) post(ctx context.Context, path string, body any) (gjson.Result, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return gjson.Result{}, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.node.URL()+path, bytes.NewReader(text))
	if err != nil {
		return gjson.Result{}, fmt.Errorf("request %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return gjson.Result{}, fmt.Errorf("request %s: %w", path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return gjson.Result{}, fmt.Errorf("read answer of %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return gjson.Result{}, fmt.Errorf("request %s: %s: %.300s", path, res.Status, answer)
	}
	return gjson.ParseBytes(answer), nil
}

// Probe asks the server at url for /healthz once, as anybody; nil says that it
// answers 200, any other status is the error.
func Probe(ctx context.Context, url string, timeout time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

// totp is the code of RFC 6238 with CIDX's settings: SHA-1, 30 s, six digits.
func totp(secret string, at time.Time) (string, error) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return "", fmt.Errorf("decode TOTP secret: %w", err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix()/30)) // a hash takes everything
	sum := mac.Sum(nil)
	at4 := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at4:at4+4])&0x7fffffff)%1_000_000), nil
}
