package standin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

func TestEveryRepositoryIsListedAndAnswersOnlyItsOwnWord(t *testing.T) {
	r := standalone(t).start()
	if got := names(r.listed(opsKey)...); got != "billing-global cidx-meta-global portal-global tools-global wiki-global" {
		t.Fatalf("listed: %s", got)
	}
	for _, alias := range fixtureRepos {
		if n := r.found(opsKey, alias, alias+"word"); n != 1 {
			t.Errorf("%s: %d hits", alias, n)
		}
		if n := r.found(opsKey, alias, alias+"wor"); n != 0 {
			t.Errorf("%s: part of a word has %d hits", alias, n)
		}
		if n := r.found(opsKey, alias, alias+"word nowhere"); n != 0 {
			t.Errorf("%s: one of two words has %d hits", alias, n)
		}
	}
	if n := r.found(opsKey, "cidx-meta", "anything"); n != 0 {
		t.Errorf("cidx-meta answers without a hit: %d", n)
	}
}

func TestQueryByREST(t *testing.T) {
	f := standalone(t)
	r := f.start()
	ask := func(alias, mode string) (int, map[string]any) {
		return r.call("POST", "/api/query", opsKey, map[string]any{"query_text": "billingword", "repository_alias": alias, "search_mode": mode})
	}
	status, out := ask("billing-global", "fts")
	hit, _ := out["fts_results"].([]any)
	if status != 200 || len(hit) != 1 || hit[0].(map[string]any)["path"] != "src/main.py" || hit[0].(map[string]any)["line_start"] != 2.0 {
		t.Errorf("fts: %d %v", status, out)
	}
	if status, out = ask("billing-global", "semantic"); status != 200 || out["total_results"] != 1.0 {
		t.Errorf("semantic: %d %v", status, out)
	}
	if status, out = ask("nobody-global", "fts"); status != 404 {
		t.Errorf("unknown alias: %d %v", status, out)
	}
	must(t, os.RemoveAll(f.golden(".versioned/billing/v_1700000000/.code-indexer/tantivy_index")))
	status, out = ask("billing-global", "fts")
	if _, object := out["detail"].(map[string]any); status != 400 || !object {
		t.Errorf("no index: %d %v", status, out)
	}
}

func TestSearchFollowsTheAliasFile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fixture)
		want   int
	}{
		"to the snapshot, not to the clone": {func(f *fixture) { _ = os.RemoveAll(f.golden("billing/src")) }, 1},
		"and fails if its target is gone": {func(f *fixture) {
			f.alias("billing", f.golden(".versioned/billing/v_1"))
		}, -1},
		"to index_path if it is not JSON": {func(f *fixture) {
			f.write(f.golden("aliases/billing-global.json"), `{"target_path": `)
		}, 1},
		"and fails if index_path is gone as well": {func(f *fixture) {
			f.write(f.golden("aliases/billing-global.json"), `{}`)
			_ = os.RemoveAll(f.golden("billing"))
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			f := standalone(t)
			c.change(f)
			if n := f.start().found(opsKey, "billing", "billingword"); n != c.want {
				t.Fatalf("got %d", n)
			}
		})
	}
}

func TestUsersSeeWhatTheirGroupMaySee(t *testing.T) {
	r := standalone(t).start()
	if got := names(r.listed(devKey)...); got != "mine billing-global cidx-meta-global" {
		t.Errorf("listed: %s", got)
	}
	if n := r.found(devKey, "billing", "billingword"); n != 1 {
		t.Errorf("granted repository: %d hits", n)
	}
	ask := map[string]any{"query_text": "portalword", "repository_alias": "portal-global", "search_mode": "fts"}
	if status, out := r.call("POST", "/api/query", devKey, ask); status != 200 || len(out["fts_results"].([]any)) != 0 {
		t.Errorf("foreign repository by REST: %d %v", status, out)
	}
	if code, text := r.protocolError(devKey, "search_code", ask); code != codeParams || !strings.HasPrefix(text, "Access denied") {
		t.Errorf("foreign repository by MCP: %v %s", code, text)
	}
	if status, _ := r.call("GET", "/api/admin/golden-repos", devKey, nil); status != 403 {
		t.Errorf("admin list: %d", status)
	}
	if status, out := r.call("GET", "/api/repos", devKey, nil); status != 200 || out["total"] != 1.0 {
		t.Errorf("own list: %d %v", status, out)
	}
}

func TestActivationsWithoutTheirDirectoryAreHiddenInStandaloneMode(t *testing.T) {
	f := standalone(t)
	must(t, os.RemoveAll(f.path("data/activated-repos/dev/mine")))
	if _, out := f.start().call("GET", "/api/repos", devKey, nil); out["total"] != 0.0 {
		t.Errorf("list: %v", out)
	}
}

func TestAnonymousRequests(t *testing.T) {
	r := standalone(t).start()
	if got := r.healthz(); got != "200 healthy" {
		t.Errorf("healthz: %s", got)
	}
	for _, path := range []string{"/health", "/api/repos", "/api/system/health", "/api/admin/golden-repos"} {
		if status, _ := r.call("GET", path, "", nil); status != 401 {
			t.Errorf("%s: %d", path, status)
		}
		if status, _ := r.call("GET", path, "cidx_sk_unknown", nil); status != 401 {
			t.Errorf("%s with an unknown key: %d", path, status)
		}
	}
}

func TestLogin(t *testing.T) {
	r := standalone(t).start()
	login := func(name, password string) (int, map[string]any) {
		return r.call("POST", "/auth/login", "", map[string]any{"username": name, "password": password})
	}
	status, out := login("ops", "pw-ops")
	token, _ := out["access_token"].(string)
	if status != 200 || token == "" {
		t.Fatalf("login: %d %v", status, out)
	}
	if status, _ := r.call("GET", "/health", token, nil); status != 200 {
		t.Errorf("JWT: %d", status)
	}
	if status, _ := r.call("GET", "/health", token+"x", nil); status != 401 {
		t.Errorf("broken JWT: %d", status)
	}
	seen := map[int]int{}
	for range 12 {
		status, _ := login("dev", "wrong")
		seen[status]++
	}
	if seen[401] != lockFailures || seen[429] != 12-lockFailures {
		t.Errorf("wrong passwords: %v", seen)
	}
	seen = map[int]int{}
	for range 12 {
		status, _ := login("ops", "pw-ops")
		seen[status]++
	}
	if seen[200] > bucketSize || seen[429] == 0 {
		t.Errorf("attempts: %v", seen)
	}
}

func TestMultiFactorLogin(t *testing.T) {
	r := standalone(t).start()
	attempt := func(key, value string) int {
		_, out := r.call("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "pw-admin"})
		if out["mfa_required"] != true || out["access_token"] != nil {
			t.Fatalf("no challenge: %v", out)
		}
		status, _ := r.call("POST", "/auth/mfa/verify", "", map[string]any{"mfa_token": out["mfa_token"], key: value})
		return status
	}
	code, err := crypt.TOTP(totpSecret, time.Now().Unix()/30)
	must(t, err)
	for _, c := range []struct {
		what, key, value string
		want             int
	}{
		{"code", "totp_code", code, 200},
		{"the same code again", "totp_code", code, 401},
		{"recovery code", "recovery_code", "abcd-efgh", 200},
		{"the same recovery code again", "recovery_code", "abcd-efgh", 401},
		{"unknown recovery code", "recovery_code", "zzzz", 401},
	} {
		if got := attempt(c.key, c.value); got != c.want {
			t.Errorf("%s: %d", c.what, got)
		}
	}
}

func TestASecondServerIsRefused(t *testing.T) {
	f := standalone(t)
	first := f.start()
	if _, err := f.tryStart(); !errors.Is(err, ErrRunning) {
		t.Fatalf("second start: %v", err)
	}
	first.stop()
	f.write("server.pid", fmt.Sprintln(os.Getpid())) // left behind by a killed server, the number in use again
	f.start()
}

func TestAStartFailsWhatWasRunning(t *testing.T) {
	f := standalone(t)
	f.start().stop()
	f.inSQLite(func(s *schema.Store) {
		row, err := s.Row1(t.Context(), "background_jobs", "SELECT status, completed_at FROM background_jobs WHERE job_id = ?", "j1")
		must(t, err)
		if row.Text("status") != "failed" || row.Text("completed_at") == "" {
			t.Errorf("job: %v", row)
		}
	})
}

func TestEachStandaloneStartBurnsThreeGroupIDs(t *testing.T) {
	f := &fixture{t: t, home: t.TempDir()}
	for range 3 {
		f.start().stop()
	}
	f.inSQLite(func(s *schema.Store) {
		_, err := s.Insert(t.Context(), "groups", schema.Row{"name": "custom", "description": "", "is_default": false, "created_at": "x"})
		must(t, err)
		row, err := s.Row1(t.Context(), "groups", "SELECT id FROM groups WHERE name = ?", "custom")
		must(t, err)
		if row.Int("id") != 10 {
			t.Errorf("id of the first custom group after three starts: %d", row.Int("id"))
		}
	})
}

func TestSettingsMoveFromTheFileToTheDatabase(t *testing.T) {
	f := standalone(t)
	f.write("config.json", `{"storage_mode": "sqlite", "cluster": null, "port": 8123, "colour": "red"}`)
	must(t, os.Chmod(f.path("config.json"), 0o640))
	f.start().stop()
	raw, err := os.ReadFile(f.path("config.json"))
	must(t, err)
	if want := "{\n  \"storage_mode\": \"sqlite\",\n  \"cluster\": null\n}\n"; string(raw) != want {
		t.Errorf("file: %s", raw)
	}
	if info, _ := os.Stat(f.path("config.json")); info.Mode().Perm() != 0o640 {
		t.Errorf("mode: %v", info.Mode())
	}
	if raw, _ := os.ReadFile(f.path("config-migration-backup/config.json.pre-centralization")); !strings.Contains(string(raw), "8123") {
		t.Errorf("backup: %s", raw)
	}
	f.inSQLite(func(s *schema.Store) {
		row, err := s.Row1(t.Context(), "server_config", "SELECT config_json FROM server_config")
		must(t, err)
		if !strings.Contains(row.Text("config_json"), `"port":8123`) {
			t.Errorf("row: %s", row.Text("config_json"))
		}
	})
	if info, _ := os.Stat(f.path("data")); info.Mode().Perm() != 0o700 {
		t.Errorf("data: %v", info.Mode())
	}
}

func TestAssumedLayout(t *testing.T) {
	f := standalone(t)
	old := f.golden("")
	f.inSQLite(func(s *schema.Store) {
		for _, alias := range fixtureRepos {
			_, err := s.Exec(t.Context(), "golden_repos_metadata", "UPDATE golden_repos_metadata SET clone_path = ? WHERE alias = ?", f.path("golden-repos/"+alias), alias)
			must(t, err)
		}
	})
	must(t, os.Rename(old, f.path("golden-repos")))
	must(t, os.Rename(f.path("golden-repos/.versioned"), f.path(".versioned")))
	for _, alias := range fixtureRepos {
		f.write("golden-repos/"+alias+"-global.json", `{"target_path": "`+f.path(".versioned/"+alias+"/v_1700000000")+`"}`)
	}
	must(t, os.RemoveAll(f.path("golden-repos/aliases")))
	r := f.start()
	for _, alias := range fixtureRepos {
		if n := r.found(opsKey, alias, alias+"word"); n != 1 {
			t.Errorf("%s: %d hits", alias, n)
		}
	}
	if _, err := os.Lstat(old); !os.IsNotExist(err) {
		t.Errorf("data/golden-repos was made: %v", err)
	}
	if got := filepath.Base(r.layout.Versioned); got != ".versioned" || !r.layout.Assumed {
		t.Errorf("layout: %+v", r.layout)
	}
}

func TestNonSSOUsersMayBeConfinedToTheWebUI(t *testing.T) {
	f := standalone(t)
	f.write("config.json", `{"restrict_non_sso_to_web_ui": true}`)
	f.inSQLite(func(s *schema.Store) {
		_, err := s.Insert(t.Context(), "oidc_identity_links", schema.Row{"username": "dev", "subject": "s", "linked_at": "x"})
		must(t, err)
	})
	r := f.start()
	if status, _ := r.call("GET", "/health", opsKey, nil); status != 403 {
		t.Errorf("without SSO identity: %d", status)
	}
	if status, _ := r.call("GET", "/health", devKey, nil); status != 200 {
		t.Errorf("with SSO identity: %d", status)
	}
}
