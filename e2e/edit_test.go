package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// json edits or reads a JSON file, like someone with an editor:
//
//	json set FILE PATH VALUE   VALUE is JSON
//	json delete FILE PATH
//	json get FILE PATH         prints the value
//	json valid FILE            every line of it, or the whole, is JSON
func (st *stage) json(c *call) error {
	if len(c.args) < 2 {
		return errors.New("set, delete, get or valid, and a file")
	}
	path := c.ts.MkAbs(c.args[1])
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	edited := text
	switch verb := c.args[0]; {
	case verb == "valid" && json.Valid(text):
		return nil
	case verb == "valid":
		return validLines(text)
	case verb == "get" && len(c.args) == 3:
		_, err := fmt.Fprintln(c.out, gjson.GetBytes(text, c.args[2]).String())
		return err
	case verb == "set" && len(c.args) == 4:
		edited, err = sjson.SetRawBytes(text, c.args[2], []byte(c.args[3]))
	case verb == "delete" && len(c.args) == 3:
		edited, err = sjson.DeleteBytes(text, c.args[2])
	default:
		return fmt.Errorf("wrong arguments: %q", c.args)
	}
	if err != nil {
		return err
	}
	return rewrite(path, edited)
}

func validLines(text []byte) error {
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		if !json.Valid(line) {
			return fmt.Errorf("line %d is not JSON: %w", i+1, errVerdict)
		}
	}
	return nil
}

// rewrite changes a file in place: mode and owner stay.
func rewrite(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// dsn breaks the DSN in config.json, keeping the rest of it:
//
//	dsn password|host|port|database VALUE
//	dsn options name=value&…    parameters of libpq
func (st *stage) dsn(c *call) error {
	if len(c.args) != 2 {
		return errors.New("what, and its new value")
	}
	u, err := url.Parse(st.box.Postgres.DSN())
	if err != nil {
		return errors.New("parse the sandbox's DSN")
	}
	switch value := c.args[1]; c.args[0] {
	case "password":
		u.User = url.UserPassword(u.User.Username(), value)
	case "host":
		u.Host = value + ":" + u.Port()
	case "port":
		u.Host = u.Hostname() + ":" + value
	case "database":
		u.Path = "/" + value
	case "options":
		u.RawQuery = value
	default:
		return fmt.Errorf("password, host, port, database or options, not %q", c.args[0])
	}
	path := filepath.Join(st.box.Home, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	edited, err := sjson.SetBytesOptions(text, "postgres_dsn", u.String(), nil)
	if err != nil {
		return err
	}
	return rewrite(path, edited)
}

// write makes or replaces a file: write FILE TEXT.
func (st *stage) write(c *call) error {
	if len(c.args) != 2 {
		return errors.New("a file and its text")
	}
	path := c.ts.MkAbs(c.args[0])
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(c.args[1]+"\n"), 0o644)
}

// api asks the server as its admin and prints status and body:
//
//	api METHOD PATH [JSON]
//	api tool NAME [JSON]       an MCP tool; prints the inner JSON
//	api login USER PASSWORD    logs in with a password
func (st *stage) api(c *call) error {
	if len(c.args) < 2 {
		return errors.New("a method and a path, or tool and its name")
	}
	body := ""
	if len(c.args) > 2 {
		body = c.args[2]
	}
	if c.args[0] == "login" && len(c.args) == 3 {
		return st.request(c.out, http.MethodPost, "/auth/login", fmt.Sprintf(`{"username":%q,"password":%q}`, c.args[1], c.args[2]))
	}
	if c.args[0] != "tool" {
		return st.request(c.out, c.args[0], c.args[1], body)
	}
	if body == "" {
		body = "{}"
	}
	var answer strings.Builder
	call := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, c.args[1], body)
	if err := st.request(&answer, http.MethodPost, "/mcp", call); err != nil {
		return err
	}
	_, text, _ := strings.Cut(answer.String(), "\n")
	_, err := fmt.Fprintln(c.out, gjson.Get(text, "result.content.0.text").String())
	return err
}

func (st *stage) request(out io.Writer, method, path, body string) error {
	facts, err := st.box.ReadFacts()
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, st.box.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+facts.Admin.APIKey)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := fmt.Fprintln(out, res.StatusCode); err != nil {
		return err
	}
	_, err = io.Copy(out, res.Body)
	return err
}
