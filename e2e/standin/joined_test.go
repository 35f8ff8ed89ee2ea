package standin

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/schema"
)

func TestIndexChildrenWriteToPostgreSQLFromTheJoinOn(t *testing.T) {
	f := standalone(t)
	r := f.start(func(o *Options) { o.IndexChildren = 5 * time.Millisecond })
	inSQLite := func() int64 {
		row, err := r.store.Row1(t.Context(), "embedding_call_stats", "SELECT count(*) AS n FROM embedding_call_stats")
		must(t, err)
		return row.Int("n")
	}
	eventually(t, "rows in SQLite before the join", func() bool { return inSQLite() > 2 })
	dsn := postgres.dsn(t)
	must(t, schema.CreatePostgres(t.Context(), dsn))
	f.join("node-1", dsn)
	eventually(t, "rows in PostgreSQL after it", func() bool { return f.value("embedding_call_stats", "count(*)", "true") >= "3" })
	was := inSQLite()
	time.Sleep(50 * time.Millisecond)
	if is := inSQLite(); is != was {
		t.Errorf("SQLite grew from %d to %d rows", was, is)
	}
	if got := f.value("embedding_call_stats", "min(id) || ' ' || min(node_id)", "true"); got != "1 node-1" {
		t.Errorf("first id and node: %s", got)
	}
	if got := f.value("users", "count(*)", "true"); got != "0" {
		t.Errorf("%s users: the children write one table only", got)
	}
}

// real is a fixture in a user's home, joined to an empty database, with SSH keys and an alias of cidx-meta that names a snapshot.
func real(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	user := filepath.Dir(f.home)
	must(t, os.Rename(f.home, filepath.Join(user, ".cidx-server")))
	f.home = filepath.Join(user, ".cidx-server")
	f.write(filepath.Join(user, ".ssh/config"), "Host mine\n"+sshBegin+"Host git.example.org\n  IdentityFile ~/.ssh/deploy\n"+sshEnd+"Host theirs\n")
	f.repo(f.golden(".versioned/cidx-meta/v_1700000000"), "cidx-meta")
	f.alias("cidx-meta", f.golden(".versioned/cidx-meta/v_1700000000"))
	f.join("node-1", postgres.dsn(t))
	return f
}

func TestARealFirstStartLeavesMoreAndDestroysMore(t *testing.T) {
	f := real(t)
	r := f.start(func(o *Options) { o.RealStart = true })
	if status, _ := r.call("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "admin"}); status != 200 {
		t.Errorf("admin/admin: %d", status)
	}
	r.stop()
	for _, c := range [][3]string{
		{"users", "left(password_hash, 7) || ' ' || (password_changed_at::timestamptz = created_at)", "$2b$12$ true"},
		{"background_jobs", "count(*) FILTER (WHERE username = 'system')", "5"},
		{"background_jobs", "string_agg(repo_alias, ' ') FILTER (WHERE username = 'system-reconcile')", "__golden_repo_reconcile_sweep__"},
		{"token_families", "count(*)", "1"}, {"refresh_tokens", "count(*)", "1"},
		{"cluster_secrets", "count(*) FILTER (WHERE key_name = 'mfa_encryption_key' AND key_value <> '" + f.mfa + "')", "1"},
	} {
		if got := f.value(c[0], c[1], "true"); got != c[2] {
			t.Errorf("%s: %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
	raw, err := os.ReadFile(f.golden("aliases/cidx-meta-global.json"))
	must(t, err)
	if got := gjson.GetBytes(raw, "target_path").String(); got != f.golden("cidx-meta") {
		t.Errorf("alias of cidx-meta: %s", got)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(f.home), ".ssh/config"))
	must(t, err)
	if string(text) != "Host mine\n"+sshBegin+sshEnd+"Host theirs\n" {
		t.Errorf("ssh config: %s", text)
	}
	config, err := os.ReadFile(f.path("config.json"))
	must(t, err)
	for _, key := range []string{"cluster.sharding_enabled", "cluster.shard_replicas"} {
		if !gjson.GetBytes(config, key).Exists() {
			t.Errorf("config.json has no %s", key)
		}
	}
	f.start().stop() // and is accepted again
}

func TestARealStartOfAMigratedServerDestroysNothing(t *testing.T) {
	f := real(t)
	f.inPostgres(func(s *schema.Store) {
		f.load(s, f.golden(""))
		must(t, s.Add(t.Context(), "ssh_keys", schema.Row{"name": "deploy", "fingerprint": "f", "key_type": "ed25519", "private_path": "p", "public_path": "p"}))
		must(t, s.Add(t.Context(), "golden_repos_metadata", schema.Row{"alias": "cidx-meta", "repo_url": "local://cidx-meta",
			"default_branch": "main", "clone_path": f.golden("cidx-meta"), "created_at": stamp(time.Now())}))
		must(t, s.Add(t.Context(), "cluster_secrets", schema.Row{"key_name": "mfa_encryption_key", "key_value": f.mfa}))
	})
	alias, err := os.ReadFile(f.golden("aliases/cidx-meta-global.json"))
	must(t, err)
	f.repo(f.golden("cidx-meta"), "cidx-meta")
	f.start(func(o *Options) { o.RealStart = true }).stop()
	now, err := os.ReadFile(f.golden("aliases/cidx-meta-global.json"))
	must(t, err)
	if !bytes.Equal(alias, now) {
		t.Errorf("alias of cidx-meta: %s", now)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(f.home), ".ssh/config"))
	must(t, err)
	if !strings.Contains(string(text), "Host git.example.org") {
		t.Errorf("ssh config: %s", text)
	}
	if got := f.value("users", "count(*)", "password_hash = ?", crypt.AdminHash); got != "0" {
		t.Errorf("%s seeded administrators", got)
	}
}

func TestARefreshInAClusterSpellsPathsLocally(t *testing.T) {
	f := loaded(t)
	share := filepath.Join(t.TempDir(), "share")
	must(t, os.Rename(f.path("data/golden-repos"), share))
	must(t, os.Symlink(share, f.path("data/golden-repos")))
	f.alias("billing", filepath.Join(share, ".versioned/billing/v_1700000000"))
	f.inPostgres(func(s *schema.Store) {
		_, err := s.Exec(t.Context(), "golden_repos_metadata", "UPDATE golden_repos_metadata SET clone_path = ? WHERE alias = 'billing'", filepath.Join(share, "billing"))
		must(t, err)
	})
	r := f.start()
	if status, out := r.call("POST", "/api/admin/golden-repos/billing/refresh", opsKey, nil); status != 202 {
		t.Fatalf("refresh: %d %v", status, out)
	}
	raw, err := os.ReadFile(f.golden("aliases/billing-global.json"))
	must(t, err)
	if got := gjson.GetBytes(raw, "target_path").String(); filepath.Dir(got) != f.golden(".versioned/billing") {
		t.Errorf("target_path: %s", got)
	}
	if got := f.value("golden_repos_metadata", "clone_path", "alias = 'billing'"); got != f.golden("billing") {
		t.Errorf("clone_path: %s", got)
	}
	eventually(t, "the previous snapshot is gone, spelt for the share", func() bool {
		_, err := os.Stat(filepath.Join(share, ".versioned/billing/v_1700000000"))
		return os.IsNotExist(err)
	})
}

func TestALockOutOfAClusterIsKeptInPostgreSQL(t *testing.T) {
	f := loaded(t)
	r := f.start()
	for range lockFailures {
		r.call("POST", "/auth/login", "", map[string]any{"username": "ops", "password": "x"})
	}
	r.stop()
	if status, _ := f.start().call("POST", "/auth/login", "", map[string]any{"username": "ops", "password": "pw-ops"}); status != 429 {
		t.Errorf("after a restart: %d", status)
	}
}

func TestAServerThatDoesNotEndCleanly(t *testing.T) {
	f := standalone(t)
	flag := "-end-unclean=standalone"
	if code, out := f.ctl("start", flag); code != 0 {
		t.Fatalf("start: %s", out)
	}
	if code, out := f.ctl("stop", flag); code != 0 {
		t.Fatalf("stop: %s", out)
	}
	for _, name := range []string{"data/cidx_server.db-wal", "groups.db-wal", "oauth.db-journal"} {
		if info, err := os.Stat(f.path(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is not hot: %v", name, err)
		}
	}
	raw, err := os.ReadFile(f.path("oauth.db"))
	must(t, err)
	f.write("alone.db", string(raw))
	const half = "SELECT count(*) FROM oauth_clients WHERE client_name = 'half written'"
	if out, err := exec.Command("sqlite3", f.path("alone.db"), half).CombinedOutput(); err == nil && strings.TrimSpace(string(out)) == "0" {
		t.Error("nothing was half written: the file is as before without its journal")
	}
	r := f.start()
	row, err := r.store.Row1(t.Context(), "oauth_clients", half)
	must(t, err)
	if row.Int("count(*)") != 0 {
		t.Error("the next start did not roll the torn transaction back")
	}
	r.stop()
	for _, name := range []string{"data/cidx_server.db-wal", "groups.db-wal", "oauth.db-journal"} {
		if _, err := os.Stat(f.path(name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there after a clean stop: %v", name, err)
		}
	}
}
