package database

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/keyring"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/secret"
)

// clusterLives does what a cluster does to loaded data.
func (f *fixture) clusterLives(t *testing.T) {
	pgtest.Exec(t, f.dsn, "INSERT INTO audit_logs (timestamp, admin_id, details) VALUES (now(), 'new', 'written by the cluster')", "UPDATE groups SET name = 'people' WHERE id = 2")
}

func TestSecondRunLeavesTheClusterAlone(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	f.clusterLives(t)
	before := f.target(t)
	for mode, arguments := range map[string]map[string]any{"rehearsal": check(nil), "real run": nil} {
		r := f.run(t, arguments)
		if r.Failed || r.Changed || !strings.Contains(r.text(), "PostgreSQL is left as it is, with all that the cluster has written since") {
			t.Errorf("%s: %s", mode, r.text())
		}
		if f.target(t) != before {
			t.Errorf("%s has changed PostgreSQL", mode)
		}
	}
}

// TestKilledBetweenCommitAndJournal: the database itself remembers.
func TestKilledBetweenCommitAndJournal(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	state := home.State(f.path(".cluster-migrate"))
	for _, path := range []string{state.Database(), state.Journal()} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	before := f.target(t)
	if r := f.run(t, nil); r.Failed || r.Changed || f.target(t) != before {
		t.Errorf("told is: %s", r.text())
	}
	if _, err := os.Stat(state.Database()); err != nil {
		t.Errorf("the record of the load is not there again: %v", err)
	}
}

func TestVerifyTellsChangesFromLosses(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, map[string]any{"phase": "verify"}); !r.Failed || !strings.Contains(r.text(), "no data was loaded") {
		t.Errorf("before the load: %s", r.text())
	}
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	f.clusterLives(t)
	r := f.run(t, map[string]any{"phase": "verify"})
	if r.Failed || r.ChangedRows != 1 || r.AddedRows != 1 || r.LostRows != 0 {
		t.Errorf("after changes: %s", r.raw)
	}
	if !strings.Contains(r.text(), "Comparing groups... 1 rows equal, 1 changed since") || !strings.Contains(r.text(), "Comparing audit_logs... 100 rows equal, 1 added") {
		t.Errorf("told is: %s", r.text())
	}
	pgtest.Exec(t, f.dsn, "DELETE FROM audit_logs WHERE id IN (5, 7)")
	r = f.run(t, map[string]any{"phase": "verify"})
	if !r.Failed || r.LostRows != 2 || !strings.Contains(r.text(), "2 rows that were loaded are gone: id=5, id=7") {
		t.Errorf("after a loss: %s", r.text())
	}
	pgtest.Exec(t, f.dsn, "DROP TABLE groups")
	if r = f.run(t, map[string]any{"phase": "verify"}); !r.Failed || !strings.Contains(r.text(), "table groups: 2 rows that were loaded are gone: the whole table") {
		t.Errorf("after a table is gone: %s", r.text())
	}
}

func TestRollbackAndLoadAgain(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, map[string]any{"phase": "rollback"}); r.Failed || r.Changed {
		t.Errorf("before the load: %s", r.text())
	}
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	f.clusterLives(t)
	before := f.target(t)
	if r := f.run(t, check(map[string]any{"phase": "rollback"})); r.Failed || !r.Changed || f.target(t) != before {
		t.Errorf("rehearsal: %s", r.text())
	}
	r := f.run(t, map[string]any{"phase": "rollback"})
	if r.Failed || !r.Changed || r.ChangedRows != 1 || r.AddedRows != 1 {
		t.Fatalf("rollback: %s", r.raw)
	}
	f.wrote(t, "audit_logs id=101 added", "groups id=2 changed")
	if r := f.run(t, map[string]any{"phase": "rollback"}); r.Failed || r.Changed {
		t.Errorf("second rollback: %s", r.text())
	}
	// The standalone server lives on and migrates again.
	f.sqlite(t, "groups.db", "INSERT INTO groups VALUES (3, 'later'); DELETE FROM audit_logs WHERE id > 50")
	f.backup(t)
	pgtest.Exec(t, f.dsn, "INSERT INTO groups VALUES (77, 'after the rollback')")
	if r := f.run(t, check(nil)); r.Failed || !r.Changed {
		t.Fatalf("rehearsal of the second load: %s", r.text())
	}
	if r := f.run(t, nil); r.Failed || !r.Changed {
		t.Fatalf("second load: %s", r.text())
	}
	if got, want := f.query(t, "SELECT string_agg(name, ',' ORDER BY id), (SELECT count(*) FROM audit_logs) FROM groups"), "admins,staff,later|50"; got != want {
		t.Errorf("PostgreSQL has %s, want %s", got, want)
	}
	f.wrote(t, "groups id=77 added", "groups id=2 changed")
	old, _ := filepath.Glob(f.path(".cluster-migrate/report/cluster-writes-*.jsonl"))
	if len(old) != 1 {
		t.Errorf("the report of the rollback is gone: %q", old)
	}
}

// wrote checks the report of the cluster's writes.
func (f *fixture) wrote(t *testing.T, want ...string) {
	t.Helper()
	path := f.path(".cluster-migrate/report/cluster-writes.jsonl")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	found := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
		var x struct{ Table, Key, Kind string }
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		found[x.Table+" "+x.Key+" "+x.Kind] = true
	}
	for _, w := range want {
		if !found[w] {
			t.Errorf("not written down: %s; written down is\n%s", w, raw)
		}
	}
}

// TestStandaloneServerWentOn: after a rollback by hand, which marks nothing,
// the newer data must not be passed over in silence.
// cutOver does what the later steps of a run do: the server is a cluster's now.
func (f *fixture) cutOver(t *testing.T) {
	t.Helper()
	if err := journal.Append(f.path(".cluster-migrate/journal.jsonl"), home.ConfigModule, home.ConfigDone, map[string]any{"state": home.ToCluster}); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsWrittenBeforeTheCutOverIsTakenAlong: no server has worked on the
// first load yet.
func TestWhatIsWrittenBeforeTheCutOverIsTakenAlong(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	f.sqlite(t, "groups.db", "INSERT INTO groups VALUES (3, 'later')")
	f.backup(t)
	if r := f.run(t, nil); r.Failed || !r.Changed || f.query(t, "SELECT name FROM groups WHERE id = 3") != "later" {
		t.Error(r.text())
	}
}

func TestStandaloneServerWentOn(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	f.cutOver(t)
	f.sqlite(t, "groups.db", "INSERT INTO groups VALUES (3, 'later')")
	f.backup(t)
	before := f.target(t)
	r := f.run(t, nil)
	if !r.Failed || f.target(t) != before || !strings.Contains(r.text(), "the standalone server has gone on after it was migrated") || !strings.Contains(r.text(), "cluster-rollback.yml") {
		t.Errorf("told is: %s", r.text())
	}
	// A file that was only touched is no reason to stop.
	f.sqlite(t, "groups.db", "DELETE FROM groups WHERE id = 3; VACUUM")
	f.backup(t)
	if r := f.run(t, nil); r.Failed || r.Changed {
		t.Errorf("the same content in another file: %s", r.text())
	}
}

func TestAnotherServersDataIsLeftAlone(t *testing.T) {
	f := auditFixture(t, 10)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	pgtest.Exec(t, f.dsn, "UPDATE cidx_cluster_migration SET source_id = 'x', home = '/somewhere/else'")
	for _, phase := range []string{"load", "verify", "rollback"} {
		if r := f.run(t, map[string]any{"phase": phase}); !r.Failed || !strings.Contains(r.text(), "holds the data of another server: /somewhere/else") {
			t.Errorf("%s: %s", phase, r.text())
		}
	}
}

func TestRollbackDoesNotNeedPostgreSQL(t *testing.T) {
	f := auditFixture(t, 10)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	r := f.run(t, map[string]any{"phase": "rollback", "postgres_dsn": "postgresql://admin:" + pgtest.Password + "@127.0.0.1:1/x"})
	if r.Failed || r.Changed || !strings.Contains(r.text(), "PostgreSQL was not asked") {
		t.Errorf("told is: %s", r.text())
	}
	loaded := func() bool {
		standing, err := home.Common{Home: f.path("")}.Standing()
		if err != nil {
			t.Fatal(err)
		}
		return standing.Loaded
	}
	if !loaded() {
		t.Error("forgotten that PostgreSQL still has to be told")
	}
	if r := f.run(t, map[string]any{"phase": "rollback"}); r.Failed || !r.Changed || loaded() {
		t.Errorf("asked again: still to be told: %v, told is: %s", loaded(), r.text())
	}
}

func TestSaltFileIsMadeForTheOtherNodes(t *testing.T) {
	f := newFixture(t)
	token := encryptToken(t, "jwt-text", "glpat-token")
	f.write(t, ".jwt_secret", " jwt-text\n")
	f.sqlite(t, "data/cidx_server.db", "CREATE TABLE ci_tokens (platform TEXT PRIMARY KEY, encrypted_token TEXT NOT NULL); INSERT INTO ci_tokens VALUES ('gitlab', '"+token+"')")
	pgtest.Exec(t, f.dsn, "CREATE TABLE ci_tokens (platform text PRIMARY KEY, encrypted_token text NOT NULL)")
	f.backup(t)
	if r := f.run(t, check(nil)); r.Failed || !strings.Contains(r.text(), "will be created with the text under which the tokens decrypt (JWT secret)") {
		t.Errorf("rehearsal: %s", r.text())
	}
	if _, err := os.Stat(f.path(keyring.SaltFile)); err == nil {
		t.Fatal("the rehearsal has made the file")
	}
	if r := f.run(t, nil); r.Failed || strings.Contains(r.raw, "jwt-text") || strings.Contains(r.raw, token) {
		t.Fatalf("told is: %s", r.raw)
	}
	raw, err := os.ReadFile(f.path(keyring.SaltFile))
	info, _ := os.Stat(f.path(keyring.SaltFile))
	if err != nil || string(raw) != "jwt-text" || info.Mode().Perm() != 0o600 {
		t.Errorf("salt file is %q, %v, %v", raw, info, err)
	}
}

// TestUnopenedTokensAreAllListed: the problem names a few, the list all, none
// shows a value.
func TestUnopenedTokensAreAllListed(t *testing.T) {
	f := newFixture(t)
	f.write(t, keyring.SaltFile, "new-host")
	token := encryptToken(t, "old-host", "x")
	f.sqlite(t, "data/cidx_server.db", "CREATE TABLE ci_tokens (platform TEXT PRIMARY KEY, encrypted_token TEXT NOT NULL); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO ci_tokens SELECT 'p'||i, '"+token+"' FROM n")
	pgtest.Exec(t, f.dsn, "CREATE TABLE ci_tokens (platform text PRIMARY KEY, encrypted_token text NOT NULL)")
	f.backup(t)
	r := f.run(t, nil)
	if !r.Failed || len(r.Problems) != 1 || len(r.Reports) != 1 || !strings.Contains(r.text(), "of 200 rows: platform=p1; platform=p2; platform=p3; platform=p4; platform=p5; and 195 more (all: "+f.path(".cluster-migrate/report/problems.jsonl")) {
		t.Fatalf("told is: %s", r.text())
	}
	raw, _ := os.ReadFile(r.Reports[0])
	if strings.Count(string(raw), "\n") != 200 || strings.Contains(string(raw), token) {
		t.Errorf("the list is %s", raw)
	}
}

func TestOldHostNameOpensTokens(t *testing.T) {
	f := newFixture(t)
	f.write(t, keyring.SaltFile, "new-host")
	f.sqlite(t, "data/cidx_server.db", "CREATE TABLE ci_tokens (platform TEXT PRIMARY KEY, encrypted_token TEXT NOT NULL); INSERT INTO ci_tokens VALUES ('gitlab', '"+encryptToken(t, "old-host", "x")+"')")
	pgtest.Exec(t, f.dsn, "CREATE TABLE ci_tokens (platform text PRIMARY KEY, encrypted_token text NOT NULL)")
	f.backup(t)
	if r := f.run(t, check(nil)); !r.Failed {
		t.Errorf("without the name: %s", r.text())
	}
	if r := f.run(t, map[string]any{"old_host_names": []string{"old-host"}}); r.Failed || !strings.Contains(r.text(), "1 tokens do not open with the salt file but with an older text") {
		t.Errorf("with the name: %s", r.text())
	}
}

func TestQuarantineKeepsEverything(t *testing.T) {
	f := newFixture(t)
	f.sqlite(t, "data/cidx_server.db", "CREATE TABLE token_blacklist (jti TEXT PRIMARY KEY, blacklisted_at REAL NOT NULL); INSERT INTO token_blacklist VALUES ('fine', 1.5), (CAST(x'ff00' AS TEXT), 2.5), ('late', 'never'), ('big', 9e999)")
	pgtest.Exec(t, f.dsn, "CREATE TABLE token_blacklist (jti text PRIMARY KEY, blacklisted_at double precision NOT NULL)")
	f.backup(t)
	r := f.run(t, map[string]any{"quarantine": true})
	if r.Failed || r.Quarantined != 2 || len(r.Reports) != 2 {
		t.Fatalf("told is: %s", r.raw)
	}
	raw, err := os.ReadFile(f.path(".cluster-migrate/report/quarantine.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"base64":"/wA="`, `"jti":"late"`, `"blacklisted_at":"never"`, `"row":2`, `"row":3`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("quarantine has not %s:\n%s", want, raw)
		}
	}
	if info, _ := os.Stat(f.path(".cluster-migrate/report/quarantine.jsonl")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	if got := f.query(t, "SELECT jti, blacklisted_at FROM token_blacklist ORDER BY 1"); got != "big|Infinity\nfine|1.5" {
		t.Errorf("PostgreSQL has %s", got)
	}
	if v := f.run(t, map[string]any{"phase": "verify"}); v.Failed {
		t.Errorf("verify: %s", v.text())
	}
}

func TestLongListsAreCut(t *testing.T) {
	f := newFixture(t)
	f.sqlite(t, "data/cidx_server.db", "CREATE TABLE token_blacklist (jti TEXT PRIMARY KEY, blacklisted_at REAL NOT NULL); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO token_blacklist SELECT i, 'x' FROM n")
	pgtest.Exec(t, f.dsn, "CREATE TABLE token_blacklist (jti text PRIMARY KEY, blacklisted_at double precision NOT NULL)")
	f.backup(t)
	r := f.run(t, nil)
	if !r.Failed || len(r.Problems) != load.Listed+1 || !strings.Contains(r.text(), "and 150 more") || len(r.Reports) != 1 {
		t.Fatalf("%d problems: %s", len(r.Problems), r.text())
	}
	raw, _ := os.ReadFile(r.Reports[0])
	if n := strings.Count(string(raw), "\n"); n != 200 {
		t.Errorf("the report has %d lines", n)
	}
	if strings.Contains(string(raw), secret.Mask) {
		t.Error("the report is masked")
	}
}
