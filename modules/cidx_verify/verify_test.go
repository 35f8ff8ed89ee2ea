package verify

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// call runs the module as Ansible does.
func call(t *testing.T, arguments map[string]any) gjson.Result {
	t.Helper()
	raw, err := json.Marshal(arguments)
	must(t, err)
	reply := Module().Run(t.Context(), raw, nil)
	if t.Failed() {
		t.Logf("%s", reply)
	}
	return gjson.ParseBytes(reply)
}

func transcript(reply gjson.Result) string {
	var lines []string
	for _, l := range reply.Get("lines").Array() {
		lines = append(lines, l.Str)
	}
	return strings.Join(lines, "\n")
}

func want(t *testing.T, reply gjson.Result, failed bool, parts ...string) {
	t.Helper()
	if reply.Get("failed").Bool() != failed {
		t.Errorf("failed is %v", reply.Get("failed"))
	}
	if reply.Get("changed").Bool() {
		t.Error("says that it changed something")
	}
	text := transcript(reply) + "\n" + reply.Get("msg").Str + "\n" + reply.Get("warnings").Raw
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing", p)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", text, reply.Get("repositories").Raw)
	}
}

func TestStandalone(t *testing.T) {
	dir, k := seeded(t)
	address := serve(t, dir)
	arguments := func(more map[string]any) map[string]any {
		a := map[string]any{"home": dir, "mode": "standalone", "url": address, "api_key": k.Admin.Key, "timeout": "20"}
		maps.Copy(a, more)
		return a
	}
	t.Run("every repository answers", func(t *testing.T) {
		reply := call(t, arguments(nil))
		want(t, reply, false, "  Server startup: OK (healthy in ", "  Standalone mode: OK", "  Repositories: 4/4 accessible", "  Query test: OK (search_code returned results)", "Standalone server verified: 4 repos accessible, query test passed")
		for _, r := range reply.Get("repositories").Array() {
			mode := "fts"
			if r.Get("golden").Str == "cidx-meta" {
				mode = "semantic"
			}
			if !r.Get("accessible").Bool() || r.Get("hits").Int() < 1 || r.Get("word").Str == "" || r.Get("mode").Str != mode {
				t.Errorf("repository %s", r.Raw)
			}
		}
	})
	t.Run("an administrator with a second factor, twice in one period", func(t *testing.T) {
		factor := arguments(map[string]any{"api_key": "", "api_user": k.MFA.User, "api_password": k.MFA.Password, "api_totp_secret": k.MFA.TOTP})
		for range 2 {
			reply := call(t, factor)
			if strings.Contains(reply.Raw, k.MFA.Password) || strings.Contains(reply.Raw, k.MFA.TOTP) {
				t.Error("a secret is in the reply")
			}
			want(t, reply, false, "4/4 accessible")
		}
	})
	t.Run("refused: wrong password", func(t *testing.T) {
		reply := call(t, arguments(map[string]any{"api_key": "", "api_user": k.Admin.User, "api_password": "not-the-password"}))
		want(t, reply, true, "Server startup: OK", "answered 401", "fix: check cidx_api_user and cidx_api_password")
		if strings.Contains(reply.Raw, "not-the-password") {
			t.Error("the password is in the reply")
		}
	})
	t.Run("refused: not an administrator", func(t *testing.T) {
		want(t, call(t, arguments(map[string]any{"api_key": k.Plain.Key})), true, "account of role admin")
	})
	t.Run("refused: an operator's word that no file has", func(t *testing.T) {
		alias := k.Repos[0].Global
		reply := call(t, arguments(map[string]any{"queries": map[string]any{alias: "zzyzxunheardof"}}))
		want(t, reply, true, "  Repositories: 3/4 accessible", "Query test: FAILED (1 of 4", alias+": the search finds nothing", "cidx_verify_queries")
	})
	t.Run("refused: cluster mode is not what this server runs in", func(t *testing.T) {
		want(t, call(t, arguments(map[string]any{"mode": "cluster"})), true, `storage_mode is "sqlite"`)
	})
	t.Run("check mode asks nothing", func(t *testing.T) {
		reply := call(t, map[string]any{"home": dir, "mode": "standalone", "url": "http://127.0.0.1:1", "_ansible_check_mode": true})
		if !reply.Get("skipped").Bool() || reply.Get("failed").Bool() {
			t.Errorf("%s", reply.Raw)
		}
	})
}

func TestBeforeAnythingIsAsked(t *testing.T) {
	dir, _ := seeded(t)
	for name, c := range map[string]struct {
		arguments map[string]any
		want      string
	}{
		"no credentials":     {map[string]any{"home": dir, "mode": "standalone"}, "no credentials for the API"},
		"no home":            {map[string]any{"home": filepath.Join(dir, "nowhere"), "mode": "standalone", "api_key": "cidx_sk_x"}, "no such file"},
		"a negative timeout": {map[string]any{"home": dir, "mode": "standalone", "api_key": "cidx_sk_x", "timeout": -1}, "timeout is -1"},
		"a wrong address":    {map[string]any{"home": dir, "mode": "standalone", "api_key": "cidx_sk_x", "url": "localhost"}, "not an http address"},
		"an unknown mode":    {map[string]any{"home": dir, "mode": "both", "api_key": "cidx_sk_x"}, `unknown choice "both"`},
		"a TOTP misspelt":    {map[string]any{"home": dir, "mode": "standalone", "api_user": "a", "api_password": "bbbb", "api_totp_secret": "1!"}, "not base32"},
		"an argument more":   {map[string]any{"home": dir, "mode": "standalone", "api_keys": "x"}, "did you mean api_key?"},
	} {
		t.Run(name, func(t *testing.T) { want(t, call(t, c.arguments), true, c.want) })
	}
}

func TestFaults(t *testing.T) {
	dir, k := seeded(t)
	arguments := func(address string) map[string]any {
		return map[string]any{"home": dir, "mode": "standalone", "url": address, "api_key": k.Admin.Key, "timeout": "3"}
	}
	t.Run("a server that starts slowly is awaited", func(t *testing.T) {
		want(t, call(t, arguments(serve(t, dir, "-slow-start", "1500ms"))), false, "healthy in 2s", "4/4 accessible")
	})
	t.Run("refused: a server that never gets healthy", func(t *testing.T) {
		start := time.Now()
		want(t, call(t, arguments(serve(t, dir, "-never-healthy"))), true, "Server startup: FAILED (not healthy within 3s)", "unhealthy")
		if time.Since(start) > 8*time.Second {
			t.Errorf("took %s", time.Since(start))
		}
	})
	t.Run("refused: nobody listens", func(t *testing.T) {
		a := arguments(fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
		a["timeout"] = 1
		want(t, call(t, a), true, "no answer: ", "connection refused", "raise cidx_verify_timeout")
	})
	t.Run("refused: repositories are missing in the lists", func(t *testing.T) {
		want(t, call(t, arguments(serve(t, dir, "-lose-repos", "1"))), true, "/4 accessible", "leaves it out")
	})
	t.Run("the embedding provider is away", func(t *testing.T) {
		want(t, call(t, arguments(serve(t, dir, "-no-embeddings"))), false, "4/4 accessible", "cannot reach its embedding provider")
	})
	t.Run("a busy node is accepted with its reasons, though it says 503", func(t *testing.T) {
		want(t, call(t, arguments(serve(t, dir, "-busy-cpu", "97"))), false, "Server startup: OK (degraded in 1s)", "CPU: 97% sustained", "4/4 accessible")
	})
	t.Run("refused: busy, and ill as well", func(t *testing.T) {
		want(t, call(t, arguments(serve(t, dir, "-busy-cpu", "97", "-never-healthy"))), true, "fault -never-healthy", "remove the reasons")
	})
	t.Run("a degraded server is accepted with its reasons", func(t *testing.T) {
		want(t, call(t, arguments(serve(t, dir, "-volume-degraded", "1"))), false, "Server startup: OK (degraded in 1s)", "the server is degraded: ")
	})
	t.Run("refused: the files of one repository are gone", func(t *testing.T) {
		address := serve(t, dir)
		raw, err := os.ReadFile(filepath.Join(dir, "data/golden-repos/aliases", k.Repos[0].Global+".json"))
		must(t, err)
		target := gjson.GetBytes(raw, "target_path").Str
		entries, err := os.ReadDir(target)
		must(t, err)
		for _, e := range entries {
			if e.Name() != ".git" && e.Name() != ".code-indexer" {
				must(t, os.RemoveAll(filepath.Join(target, e.Name())))
			}
		}
		want(t, call(t, arguments(address)), true, "3/4 accessible", k.Repos[0].Global+": look for a word: git tracks files")
	})
}

func TestCluster(t *testing.T) {
	dir, _ := seeded(t)
	dsn := cluster(t, dir)
	address := serve(t, dir)
	arguments := map[string]any{"home": dir, "mode": "cluster", "url": address, "api_user": "admin", "api_password": "admin", "timeout": 20}
	t.Run("proven by the node and by PostgreSQL", func(t *testing.T) {
		reply := call(t, arguments)
		want(t, reply, false, "  Cluster mode: OK (node node-1)", "  Repositories: 4/4 accessible", "Migration verified: 4 repos accessible, query test passed")
		if reply.Get("node_id").Str != "node-1" || reply.Get("total").Int() != 4 {
			t.Errorf("%s", reply.Raw)
		}
	})
	t.Run("refused: a repository without files on the share", func(t *testing.T) {
		execute(t, dsn, `INSERT INTO golden_repos_metadata (alias, repo_url, default_branch, clone_path, created_at) VALUES ('ghost', 'x', 'main', '/nowhere/ghost', now())`)
		execute(t, dsn, `INSERT INTO global_repos (alias_name, repo_name, index_path, created_at, last_refresh) VALUES ('ghost-global', 'ghost', '/nowhere/ghost', now(), now())`)
		want(t, call(t, arguments), true, "  Repositories: 4/5 accessible", "ghost-global: no files", "/nowhere/ghost")
		execute(t, dsn, `DELETE FROM global_repos WHERE repo_name = 'ghost'`)
		execute(t, dsn, `DELETE FROM golden_repos_metadata WHERE alias = 'ghost'`)
	})
	t.Run("refused: another node answers", func(t *testing.T) {
		path := filepath.Join(dir, "config.json")
		raw, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, []byte(strings.Replace(string(raw), "node-1", "node-7", 1)), 0o600))
		defer func() { must(t, os.WriteFile(path, raw, 0o600)) }()
		want(t, call(t, arguments), true, `the server says node_id "node-1", config.json says "node-7"`)
	})
	t.Run("refused: PostgreSQL does not let us in", func(t *testing.T) {
		a := map[string]any{"postgres_dsn": "postgresql://nobody:unused-password@127.0.0.1:1/x"}
		maps.Copy(a, arguments)
		reply := call(t, a)
		want(t, reply, true, "postgresql://nobody@127.0.0.1:1/x")
		if strings.Contains(reply.Raw, "unused-password") {
			t.Error("the password is in the reply")
		}
	})
}
