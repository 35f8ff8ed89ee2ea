package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

const (
	totpSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	opsKey     = "cidx_sk_0123456789abcdef"
	devKey     = "cidx_sk_fedcba9876543210"
	saltText   = "old-host\n" // the line end belongs to it
)

// fixtureRepos are the repositories of a fixture; each holds the word "<alias>word" in a file and in a vector.
var fixtureRepos = []string{"billing", "portal", "tools", "wiki"}

// fixture is a home with files; its rows go where load puts them.
type fixture struct {
	t    *testing.T
	home string
	mfa  string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, home: filepath.Join(t.TempDir(), "home"), mfa: crypt.NewFernetKey()}
	f.write("config.json", standaloneConfig)
	f.write(".jwt_secret", "jwt-of-the-old-server\n")
	f.write(".encryption_key_salt", saltText)
	f.write("data/mfa_key.dat", f.mfa+"\n")
	for _, alias := range fixtureRepos {
		clone := f.golden(alias)
		f.repo(clone, alias)
		f.repo(f.golden(".versioned/"+alias+"/v_1700000000"), alias)
		f.alias(alias, f.golden(".versioned/"+alias+"/v_1700000000"))
	}
	f.repo(f.path("data/activated-repos/dev/mine"), "mine")
	f.write("data/activated-repos/dev/mine_metadata.json", `{"username": "dev", "user_alias": "mine",
		"golden_repo_alias": "billing", "current_branch": "main", "activated_at": "2026-01-02T03:04:05+00:00",
		"last_accessed": "2026-01-02T03:04:05+00:00", "ssh_key_used": false}`)
	return f
}

func (f *fixture) path(rel string) string   { return filepath.Join(f.home, rel) }
func (f *fixture) golden(rel string) string { return f.path(filepath.Join("data/golden-repos", rel)) }

func (f *fixture) write(rel, text string) {
	f.t.Helper()
	path := rel
	if !filepath.IsAbs(rel) {
		path = f.path(rel)
	}
	must(f.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(f.t, os.WriteFile(path, []byte(text), 0o600))
}

func (f *fixture) repo(dir, alias string) {
	f.t.Helper()
	f.write(filepath.Join(dir, ".git/HEAD"), "ref: refs/heads/main\n")
	f.write(filepath.Join(dir, "src/main.py"), "# first\nprint('"+alias+"word and another')\n")
	f.write(filepath.Join(dir, ".code-indexer/tantivy_index/meta.json"), "{}")
	f.write(filepath.Join(dir, ".code-indexer/index/code/ab/vector_1.json"),
		`{"id":"1","payload":{"path":"src/main.py","content":"print `+alias+`word","start_line":2,"end_line":2}}`)
}

func (f *fixture) alias(alias, target string) {
	f.write(f.golden("aliases/"+alias+"-global.json"), "{\n  \"target_path\": \""+target+"\",\n  \"repo_name\": \""+alias+"\",\n  \"note\": \"gr\\u00fcn\"\n}")
}

// load inserts the fixture's rows; clones are spelt below root.
func (f *fixture) load(store *schema.Store, root string) {
	f.t.Helper()
	key, err := crypt.ParseFernetKey(f.mfa)
	must(f.t, err)
	const at = "2026-01-02T03:04:05.000001+00:00"
	add := func(table string, row schema.Row) {
		f.t.Helper()
		_, err := store.Insert(f.t.Context(), table, row)
		must(f.t, err)
	}
	for name, role := range map[string]string{"ops": "admin", "dev": "normal_user", "admin": "admin"} {
		add("users", schema.Row{"username": name, "password_hash": crypt.HashPassword("pw-" + name), "role": role, "created_at": at})
	}
	for i, name := range []string{"admins", "powerusers", "users", "team"} {
		add("groups", schema.Row{"id": i + 1, "name": name, "description": "", "is_default": i < 3, "created_at": at})
	}
	add("user_group_membership", schema.Row{"user_id": "dev", "group_id": 4, "assigned_at": at, "assigned_by": "ops"})
	add("repo_group_access", schema.Row{"repo_name": "billing", "group_id": 4, "granted_at": at})
	add("user_api_keys", schema.Row{"key_id": "k1", "username": "ops", "key_hash": "x", "key_prefix": "cidx_sk_", "created_at": at, "key_sha256": crypt.KeyDigest(opsKey)})
	add("user_api_keys", schema.Row{"key_id": "k2", "username": "dev", "key_hash": "x", "key_prefix": "cidx_sk_", "created_at": at, "key_sha256": crypt.KeyDigest(devKey)})
	add("user_mfa", schema.Row{"user_id": "admin", "encrypted_secret": key.Seal(totpSecret, time.Now()), "mfa_enabled": true})
	add("user_recovery_codes", schema.Row{"user_id": "admin", "code_hash": key.RecoveryHash("abcd-efgh")})
	add("ci_tokens", schema.Row{"platform": "gitlab", "encrypted_token": crypt.NewTokenKey(saltText).Seal("glpat-1")})
	add("background_jobs", schema.Row{"job_id": "j1", "operation_type": "sync", "status": "running", "created_at": at, "started_at": at,
		"progress": 10, "username": "ops", "is_admin": true, "cancelled": false, "resolution_attempts": 0, "executing_node": "local"})
	for _, alias := range fixtureRepos {
		clone := filepath.Join(root, alias)
		add("golden_repos_metadata", schema.Row{"alias": alias, "repo_url": "https://git.example.org/" + alias, "default_branch": "main",
			"clone_path": clone, "created_at": at, "enable_temporal": false})
		add("global_repos", schema.Row{"alias_name": alias + "-global", "repo_name": alias, "repo_url": "https://git.example.org/" + alias,
			"index_path": clone, "created_at": at, "last_refresh": at})
	}
}

// standalone is a fixture with its rows in SQLite.
func standalone(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.inSQLite(func(s *schema.Store) { f.load(s, f.golden("")) })
	return f
}

func (f *fixture) inSQLite(do func(*schema.Store)) {
	f.t.Helper()
	store, err := schema.OpenSQLite(f.t.Context(), f.home)
	must(f.t, err)
	do(store)
	must(f.t, store.Close())
}

func (f *fixture) detect() repos.Layout { return repos.Detect(f.home, true) }

// running is a server under test.
type running struct {
	*Server
	t   *testing.T
	log *bytes.Buffer
}

func (f *fixture) start(change ...func(*Options)) *running {
	f.t.Helper()
	r, err := f.tryStart(change...)
	must(f.t, err)
	return r
}

// tryStart starts a quiet server on a free port; it is stopped at the end of the test unless the test stopped it.
func (f *fixture) tryStart(change ...func(*Options)) (*running, error) {
	f.t.Helper()
	out := &bytes.Buffer{}
	opt := Options{Home: f.home, Listen: "127.0.0.1:0", Log: out}
	for _, c := range change {
		c(&opt)
	}
	s, err := Start(context.Background(), opt)
	if err != nil {
		return nil, err
	}
	r := &running{Server: s, t: f.t, log: out}
	f.t.Cleanup(func() {
		if s.http != nil {
			r.stop()
		}
	})
	return r, nil
}

func (r *running) stop() {
	r.t.Helper()
	if r.http == nil {
		return
	}
	must(r.t, r.Stop())
	r.http = nil
}

// call makes a request and returns the status and the decoded answer.
func (r *running) call(method, path, token string, in any) (int, map[string]any) {
	r.t.Helper()
	status, _, out := r.exchange(method, path, token, in)
	return status, out
}

// textOf is a decoded value as text.
func textOf(v any) string { return fmt.Sprint(v) }

// exchange is call with the answer's header.
func (r *running) exchange(method, path, token string, in any) (int, http.Header, map[string]any) {
	r.t.Helper()
	text, err := json.Marshal(in)
	must(r.t, err)
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.Address()+path, bytes.NewReader(text))
	must(r.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	must(r.t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	must(r.t, err)
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		r.t.Fatalf("%s %s: answer %d is no JSON object: %.100q", method, path, res.StatusCode, raw)
	}
	return res.StatusCode, res.Header, out
}

// tool calls an MCP tool and returns the inner object.
func (r *running) tool(token, name string, args map[string]any) map[string]any {
	r.t.Helper()
	status, out := r.call("POST", "/mcp", token, map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call",
		"params": map[string]any{"name": name, "arguments": args}})
	if status != 200 || out["error"] != nil {
		r.t.Fatalf("tool %s: %d %v", name, status, out)
	}
	text := out["result"].(map[string]any)["content"].([]any)[0].(map[string]any)["text"].(string)
	inner := map[string]any{}
	must(r.t, json.Unmarshal([]byte(text), &inner))
	return inner
}

// protocolError calls an MCP tool that must end in an error of JSON-RPC.
func (r *running) protocolError(token, name string, args map[string]any) (int, string) {
	r.t.Helper()
	_, out := r.call("POST", "/mcp", token, map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call",
		"params": map[string]any{"name": name, "arguments": args}})
	fault, ok := out["error"].(map[string]any)
	if !ok {
		r.t.Fatalf("tool %s: no error: %v", name, out)
	}
	return int(fault["code"].(float64)), fault["message"].(string)
}

// found says how many hits a full-text search of a global repository has; -1 is a failure.
func (r *running) found(token, alias, word string) int {
	r.t.Helper()
	inner := r.tool(token, "search_code", map[string]any{"query_text": word, "repository_alias": alias + "-global", "search_mode": "fts"})
	if inner["success"] != true {
		return -1
	}
	return int(inner["results"].(map[string]any)["total_results"].(float64))
}

func (r *running) listed(token string) []string {
	r.t.Helper()
	inner := r.tool(token, "list_repositories", nil)
	var out []string
	for _, x := range inner["repositories"].([]any) {
		out = append(out, x.(map[string]any)["user_alias"].(string))
	}
	return out
}

func (r *running) healthz() string {
	r.t.Helper()
	status, out := r.call("GET", "/healthz", "", nil)
	return fmt.Sprint(status, " ", out["status"])
}

func names(aliases ...string) string { return strings.Join(aliases, " ") }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
