package cidxapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/problem"
)

// StatusError is an answer whose HTTP status is no success. It wraps a
// problem.Problem with the same words.
type StatusError struct {
	Method, URL string
	Status      int           // e.g. 403
	Code        string        // the body's "error", where it has one
	Detail      string        // the body's "detail" or "message"
	RetryAfter  time.Duration // with 429: how long the server wants to be left alone
	Fix         string        // what an operator can do
}

func (e *StatusError) what() string {
	text := fmt.Sprintf("%s answered %d", e.Method, e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Error names method, address, status and the server's own words.
func (e *StatusError) Error() string { return e.problem().Error() }

// Unwrap returns the problem.Problem.
func (e *StatusError) Unwrap() error { return e.problem() }

func (e *StatusError) problem() problem.Problem {
	return problem.Problem{What: e.what(), At: e.URL, Fix: e.Fix}
}

// ToolError is an MCP tool that answered, but not with success. It wraps a
// problem.Problem with the same words.
type ToolError struct {
	URL     string
	Tool    string // e.g. "search_code"
	Code    int    // of JSON-RPC, e.g. -32602; 0 when the tool itself said so
	Message string
}

// Error names the tool and the server's own words.
func (e *ToolError) Error() string { return e.problem().Error() }

// Unwrap returns the problem.Problem.
func (e *ToolError) Unwrap() error { return e.problem() }

func (e *ToolError) problem() problem.Problem {
	p := problem.Problem{What: e.Tool + ": " + e.Message, At: e.URL}
	switch e.Code {
	case 0:
	case -32601:
		p.Fix = "this CIDX release has no such MCP method; the migration needs 11.65 or later"
	case -32602:
		p.Fix = "give cidx_api_user an account of role admin that may use MCP tools"
	default:
		p.Fix = "see the server's log"
	}
	return p
}

// statusError reads both shapes of CIDX's error bodies: {"detail": text or
// object} and {"error","message","correlation_id","timestamp"}.
func statusError(method, address string, res *http.Response, body []byte) *StatusError {
	e := &StatusError{Method: method, URL: address, Status: res.StatusCode}
	doc := gjson.ParseBytes(body)
	if !gjson.ValidBytes(body) || !doc.IsObject() {
		e.Detail = http.StatusText(res.StatusCode)
	} else {
		e.Code, e.Detail = errorWords(doc)
	}
	if res.StatusCode == http.StatusTooManyRequests {
		e.RetryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
	}
	e.Fix = e.remedy()
	return e
}

func errorWords(doc gjson.Result) (code, detail string) {
	d := doc.Get("detail")
	switch {
	case d.Type == gjson.String:
		return "", clip(d.Str)
	case d.IsObject():
		code, detail = errorWords(d)
		if code == "" && detail == "" {
			detail = clip(d.Raw)
		}
		return code, detail
	case d.Exists():
		return "", clip(d.Raw)
	}
	return clip(doc.Get("error").String()), clip(doc.Get("message").String())
}

// clip keeps a foreign text short and on one line.
func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= 300 {
		return s
	}
	return strings.ToValidUTF8(s[:300], "") + "…"
}

// retryAfter reads the header: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(header)); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// remedy is what can be done about a status, whatever was asked.
func (e *StatusError) remedy() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "check cidx_api_user and cidx_api_password, or cidx_api_key"
	case http.StatusForbidden:
		if strings.HasPrefix(e.Detail, "password_expired") {
			return "set a new password for this user in the web interface, or use cidx_api_key"
		}
		return "give cidx_api_user an account of role admin; if restrict_non_sso_to_web_ui is on, switch it off for the migration"
	case http.StatusTooManyRequests:
		return fmt.Sprintf("too many logins: wait %s, or use cidx_api_key", e.RetryAfter.Round(time.Second))
	case http.StatusNotFound:
		return "check that cidx_url is the address of a CIDX server"
	}
	return "see the server's log"
}

// Short is an error without its remedy.
func Short(err error) string {
	var silent *NoAnswer
	if errors.As(err, &silent) {
		return "no answer: " + silent.Cause.Error()
	}
	if p := problem.Of(err); len(p) == 1 {
		return p[0].What
	}
	return err.Error()
}
