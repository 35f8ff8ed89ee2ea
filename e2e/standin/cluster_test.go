package standin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

// cluster is a fixture switched to an empty PostgreSQL database.
func cluster(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.join("node-1", postgres.dsn(t))
	return f
}

// loaded is a fixture switched to a PostgreSQL database that holds its rows and keys, as after a migration.
func loaded(t *testing.T) *fixture {
	t.Helper()
	f := cluster(t)
	f.inPostgres(func(s *schema.Store) {
		f.load(s, f.golden(""))
		for name, value := range map[string]string{"mfa_encryption_key": f.mfa, "jwt_secret": "jwt-of-the-old-server"} {
			_, err := s.Insert(t.Context(), "cluster_secrets", schema.Row{"key_name": name, "key_value": value})
			must(t, err)
		}
		_, err := s.Insert(t.Context(), "activated_repos", schema.Row{"username": "dev", "user_alias": "mine", "repo_path": "",
			"golden_repo_alias": "billing", "activated_at": "2026-01-02T03:04:05+00:00", "last_accessed": "2026-01-02T03:04:05+00:00"})
		must(t, err)
	})
	return f
}

func (f *fixture) join(node, dsn string) {
	f.write("config.json", `{"storage_mode": "postgres", "postgres_dsn": "`+dsn+`", "cluster": {"node_id": "`+node+`"}, "clone_backend": "local"}`)
}

func (f *fixture) inPostgres(do func(*schema.Store)) {
	f.t.Helper()
	c, err := readConfig(f.home)
	must(f.t, err)
	store, err := schema.OpenPostgres(f.t.Context(), c.dsn)
	must(f.t, err)
	do(store)
	must(f.t, store.Close())
}

// value is one column of the first row that a query of PostgreSQL returns.
func (f *fixture) value(table, column, where string, args ...any) (out string) {
	f.t.Helper()
	f.inPostgres(func(s *schema.Store) {
		row, err := s.Row1(f.t.Context(), table, "SELECT "+column+" AS v FROM "+table+" WHERE "+where, args...)
		must(f.t, err)
		out = row.Text("v")
	})
	return out
}

func TestAFirstClusterStartOnAnEmptyDatabaseSeedsIt(t *testing.T) {
	f := cluster(t)
	r := f.start()
	status, _ := r.call("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "admin"})
	if status != 200 {
		t.Errorf("admin/admin: %d", status)
	}
	if got := r.tool(tokenOf(r), "check_health", nil)["node_id"]; got != "node-1" {
		t.Errorf("node_id: %v", got)
	}
	if !strings.Contains(r.log.String(), "Storage mode: PostgreSQL (cluster)") {
		t.Errorf("log: %s", r.log)
	}
	for _, c := range [][3]string{
		{"groups", "string_agg(id || name, ' ' ORDER BY id)", "1admins 2powerusers 3users"},
		{"server_config", "string_agg(config_key, ' ')", "runtime"},
		{"golden_repos_metadata", "string_agg(alias, ' ')", "cidx-meta"},
		{"global_repos", "string_agg(alias_name, ' ')", "cidx-meta-global"},
		{"oauth_clients", "string_agg(client_id, ' ')", "client_credentials"},
		{"cluster_secrets", "string_agg(key_name, ' ' ORDER BY key_name)", "jwt_secret mfa_encryption_key ssh_key_encryption_key"},
		{"cluster_nodes", "string_agg(node_id || ' ' || status, ' ')", "node-1 online"},
	} {
		if got := f.value(c[0], c[1], "true"); got != c[2] {
			t.Errorf("%s: %q, want %q", c[0], got, c[2])
		}
	}
	if got := f.value("cluster_secrets", "key_value", "key_name = ?", "jwt_secret"); got != "jwt-of-the-old-server" {
		t.Error("jwt_secret is not the local file's")
	}
	r.stop()
	if got := f.value("cluster_nodes", "status", "node_id = ?", "node-1"); got != "offline" {
		t.Errorf("after the stop: %s", got)
	}
}

func TestAMigratedServerServesEverything(t *testing.T) {
	f := loaded(t)
	r := f.start()
	if got := r.healthz(); got != "200 healthy" {
		t.Errorf("health: %s", got)
	}
	if got := names(r.listed(opsKey)...); got != "billing-global cidx-meta-global portal-global tools-global wiki-global" {
		t.Errorf("listed: %s", got)
	}
	if got := names(r.listed(devKey)...); got != "mine billing-global cidx-meta-global" {
		t.Errorf("listed for dev: %s", got)
	}
	for _, alias := range fixtureRepos {
		if n := r.found(opsKey, alias, alias+"word"); n != 1 {
			t.Errorf("%s: %d hits", alias, n)
		}
	}
	if status, out := r.call("GET", "/api/repos", devKey, nil); status != 200 || out["total"] != 1.0 {
		t.Errorf("own list: %d %v", status, out)
	}
	if status := mfaLogin(r); status != 200 {
		t.Errorf("MFA: %d", status)
	}
	_, out := r.call("GET", "/api/admin/tokens/check", opsKey, nil)
	if ci := out["ci_tokens"].(map[string]any); ci["total"] != 1.0 || ci["opened"] != 1.0 {
		t.Errorf("tokens: %v", out)
	}
	token := crypt.SignJWT("jwt-of-the-old-server", crypt.Claims{Username: "ops", ID: "x", Expires: 1e11})
	if status, _ := r.call("GET", "/health", token, nil); status != 200 {
		t.Errorf("JWT of the standalone server: %d", status)
	}
}

func TestAMissingTimeOfAnActivationFailsTheList(t *testing.T) {
	f := loaded(t)
	f.inPostgres(func(s *schema.Store) {
		_, err := s.Exec(t.Context(), "activated_repos", "UPDATE activated_repos SET last_accessed = NULL")
		must(t, err)
	})
	r := f.start()
	if status, out := r.call("GET", "/api/repos", devKey, nil); status != 500 || out["error"] == nil {
		t.Errorf("list: %d %v", status, out)
	}
	r.stop()
	f.start(func(o *Options) { o.Reap = true }).stop()
	if got := f.value("activated_repos", "count(*)", "true"); got != "0" {
		t.Errorf("%s activations after the reaper", got)
	}
	if _, err := os.Lstat(f.path("data/activated-repos/dev/mine")); !os.IsNotExist(err) {
		t.Error("the reaped working copy is still in place")
	}
}

func TestAClusterStartOnAnIncompleteCopyDeletesRows(t *testing.T) {
	f := loaded(t)
	f.vanish("billing")
	f.start().stop()
	if got := f.value("golden_repos_metadata", "string_agg(alias, ' ' ORDER BY alias)", "alias <> 'cidx-meta'"); got != "portal tools wiki" {
		t.Errorf("registry: %s", got)
	}
	if got := f.value("activated_repos", "count(*)", "true"); got != "0" {
		t.Errorf("%s activations", got)
	}
	if got := f.value("golden_repo_reconcile_auto_heal_event", "removed_aliases", "true"); got != `["billing"]` {
		t.Errorf("event: %s", got)
	}
}

func TestResearchDirectoriesWithoutTheirRowAreDestroyed(t *testing.T) {
	f := loaded(t)
	old := time.Now().Add(-8 * 24 * time.Hour)
	for _, id := range []string{"kept", "orphan", "respelt", "young"} {
		f.write("research/"+id+"/note.md", "x")
		if id != "young" {
			must(t, os.Chtimes(f.path("research/"+id), old, old))
		}
	}
	f.inPostgres(func(s *schema.Store) {
		for id, path := range map[string]string{"kept": f.path("research/kept"), "respelt": f.home + "/./research/respelt"} {
			_, err := s.Insert(t.Context(), "research_sessions", schema.Row{"id": id, "name": id, "folder_path": path, "created_at": stamp(old), "updated_at": stamp(old)})
			must(t, err)
		}
	})
	f.start().stop()
	left, err := filepath.Glob(f.path("research/*"))
	must(t, err)
	if got := names(left...); got != names(f.path("research/kept"), f.path("research/young")) {
		t.Errorf("left: %s", got)
	}
}

func TestAClusterStartWritesTheOldSQLiteFile(t *testing.T) {
	f := loaded(t)
	if _, err := os.Lstat(f.path("data/cidx_server.db")); !os.IsNotExist(err) {
		t.Fatal("exists before the start")
	}
	f.start().stop()
	if _, err := os.Lstat(f.path("data/cidx_server.db")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(f.path("groups.db")); !os.IsNotExist(err) {
		t.Error("groups.db was made in cluster mode")
	}
}

func TestASecondNodeSeesTheSame(t *testing.T) {
	f := loaded(t)
	f.start()
	second := &fixture{t: t, home: filepath.Join(t.TempDir(), "node2")}
	c, err := readConfig(f.home)
	must(t, err)
	second.join("node-2", c.dsn)
	second.write(".encryption_key_salt", saltText)
	must(t, os.MkdirAll(second.path("data"), 0o700))
	for _, name := range []string{"golden-repos", "activated-repos"} {
		must(t, os.Symlink(f.path("data/"+name), second.path("data/"+name)))
	}
	r := second.start()
	for _, alias := range fixtureRepos {
		if n := r.found(opsKey, alias, alias+"word"); n != 1 {
			t.Errorf("%s: %d hits", alias, n)
		}
	}
	if status := mfaLogin(r); status != 200 {
		t.Errorf("MFA: %d", status)
	}
	if got := f.value("cluster_nodes", "count(*)", "status = 'online'"); got != "2" {
		t.Errorf("%s nodes online", got)
	}
}

func TestPostgresTroubleStopsTheStart(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"wrong password":       func(dsn string) string { return strings.Replace(dsn, "sekret", "hidden-word", 1) },
		"unknown database":     func(dsn string) string { return strings.Replace(dsn, "sekret", "hidden-word", 1) + "_absent" },
		"nobody listens":       func(string) string { return "postgresql://cidx:hidden-word@127.0.0.1:1/cidx" },
		"no connection string": func(string) string { return "hidden-word=:" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.join("node-1", change(postgres.dsn(t)))
			_, err := f.tryStart()
			if err == nil || strings.Contains(err.Error(), "hidden-word") {
				t.Fatalf("got %v", err)
			}
			if runningPid(f.home) != 0 {
				t.Error("the home stays locked")
			}
		})
	}
}

func TestHealthFollowsTheDatabase(t *testing.T) {
	r := loaded(t).start()
	must(t, r.store.Close())
	if got := r.healthz(); got != "503 unhealthy" {
		t.Errorf("health without database: %s", got)
	}
	_ = r.http.Close()
	r.cancel()
	r.tasks.Wait()
	r.pid.release()
	r.http = nil
}

func TestSchemaCommandLeavesTheRuntimeTablesOut(t *testing.T) {
	dsn := postgres.dsn(t)
	t.Setenv("CIDX_POSTGRES_DSN", dsn)
	for range 2 {
		if code := Main(t.Context(), []string{"schema"}, os.Stdout, os.Stderr); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}
	f := newFixture(t)
	f.join("node-1", dsn)
	tables := `(SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public')`
	conn, err := openTest(t, dsn)
	must(t, err)
	var before int
	must(t, conn.QueryRow(t.Context(), "SELECT "+tables).Scan(&before))
	f.start().stop()
	var after int
	must(t, conn.QueryRow(t.Context(), "SELECT "+tables).Scan(&after))
	if after-before != 6 {
		t.Errorf("%d tables by the runner, %d after a start", before, after)
	}
}
