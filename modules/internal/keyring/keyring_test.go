package keyring

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/sqlite"
)

// tokens is a plan of one table with one encrypted token.
func tokens(t *testing.T) []*load.Table {
	t.Helper()
	conn, err := sqlite.Memory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for _, sql := range []string{"CREATE TABLE ci_tokens (encrypted_token TEXT)", "INSERT INTO ci_tokens VALUES ('bm9uZSBvZiBvdXJz')"} {
		if err := conn.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := conn.Tables()
	if err != nil {
		t.Fatal(err)
	}
	return []*load.Table{{Name: "ci_tokens", File: "data/cidx_server.db", Conn: conn, From: tables[0],
		Columns: []load.Column{{Name: "encrypted_token", Source: "encrypted_token"}}}}
}

func TestKeysOfAServer(t *testing.T) {
	for name, c := range map[string]struct {
		files   map[string]string
		jwt     string
		want    string // a warning; "" for none
		problem string
	}{
		"without any key file":  {nil, "", "no JWT secret", "the salt file is missing"},
		"with an empty secret":  {map[string]string{".jwt_secret": " \n"}, "", "no JWT secret", "the salt file is missing"},
		"with a secret":         {map[string]string{".jwt_secret": " own \n"}, "own", "", "the salt file is missing"},
		"with a salt of others": {map[string]string{".jwt_secret": "own", SaltFile: "x"}, "own", "", "no known key opens encrypted_token of row row 1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n := &load.Notes{}
			// The account has no folder, in which CIDX would keep the secret otherwise.
			r, err := Open(context.Background(), home.Common{Home: dir, ServiceUser: "nobody"}, "host", nil, n)
			told := strings.Join(n.Warnings, "; ")
			if err != nil || r.jwt != c.jwt || (told == "") != (c.want == "") || !strings.Contains(told, c.want) {
				t.Fatalf("secret %q, warnings %q, error %v", r.jwt, n.Warnings, err)
			}
			x, err := r.Try(context.Background(), tokens(t), func(string) bool { return false }, n)
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("problem: %v", err)
			}
			if text, from := x.SaltToCreate(); text != "" || from != "" || x.Report()["tokens"].(map[string]any)["checked"] != 1 {
				t.Errorf("salt %q of %q, %v", text, from, x.Report())
			}
			if _, err := r.Try(context.Background(), tokens(t), func(name string) bool { return name == "ci_tokens.encrypted_token" }, n); err != nil {
				t.Errorf("accepted: %v", err)
			}
		})
	}
}
