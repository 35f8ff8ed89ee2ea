package database

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

const auditTarget = `CREATE TABLE audit_logs (id serial PRIMARY KEY, timestamp timestamptz NOT NULL, admin_id text NOT NULL, details text);;
	CREATE INDEX idx_audit_admin ON audit_logs (admin_id);;CREATE INDEX idx_audit_time ON audit_logs (timestamp) WHERE admin_id <> '';;CREATE INDEX idx_audit_lower ON audit_logs (lower(admin_id));;
	CREATE TABLE groups (id serial PRIMARY KEY, name text NOT NULL UNIQUE);;INSERT INTO groups VALUES (7, 'admins')`

// auditFixture has a table of n rows, and a group that replaces a seeded one.
func auditFixture(t testing.TB, n int) *fixture {
	t.Helper()
	f := newFixture(t)
	f.sqlite(t, "groups.db", fmt.Sprintf(`CREATE TABLE groups (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
		INSERT INTO groups VALUES (1, 'admins'), (2, 'staff');
		CREATE TABLE audit_logs (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, admin_id TEXT NOT NULL, details TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO audit_logs SELECT i, '2026-01-02T03:04:05.' || printf('%%06d', i) || '+00:00', 'admin' || (i %% 97), 'details of event ' || i FROM n`, n))
	pgtest.Exec(t, f.dsn, strings.Split(auditTarget, ";;")...)
	f.backup(t)
	return f
}

// loaded fails the test unless everything is there.
func (f *fixture) loaded(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprintf("%d|%d|1,2|%d|3", n, n*(n+1)/2, n+1)
	got := f.query(t, "SELECT count(*), sum(id), (SELECT string_agg(id::text, ',' ORDER BY id) FROM groups), (SELECT nextval('audit_logs_id_seq')), (SELECT nextval('groups_id_seq')) FROM audit_logs")
	if got != want {
		t.Errorf("PostgreSQL has %s, want %s", got, want)
	}
}

// TestKilledAnywhere kills the helper at random moments. PostgreSQL is then as
// it was, or completely loaded; the next run ends as an undisturbed one.
func TestKilledAnywhere(t *testing.T) {
	const rows, kills = 30000, 12
	f := auditFixture(t, rows)
	before := f.target(t)
	input, _ := json.Marshal(map[string]any{"home": f.home})
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVariable+"=1")
		child.Stdin = bytes.NewReader(input)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(700)) * time.Millisecond) // the moment is what is random
		_ = child.Process.Kill()
		_ = child.Wait()
		f.awaitNobody(t)
		if f.query(t, "SELECT to_regclass('cidx_cluster_migration') IS NOT NULL") == "t" {
			break // it was faster than the kill
		}
		if got := f.target(t); got != before {
			t.Fatalf("after a kill PostgreSQL is\n%s\nwas\n%s", got, before)
		}
	}
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("the run after the kills: %s", r.text())
	}
	f.loaded(t, rows)
}

// awaitNobody waits until the server has noticed that our sessions are gone.
func (f *fixture) awaitNobody(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if f.query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+application+"'") == "0" {
			return
		}
		if time.Now().After(until) {
			t.Fatal("a session of a killed helper does not end")
		}
	}
}

// on calls do once, at the first event whose line or status contains text.
func on(text string, do func()) progress.Sink {
	done := false
	return func(e progress.Event) {
		line := ""
		if e.Line != nil {
			line = *e.Line
		}
		if e.Status != nil {
			line = e.Status.What
		}
		if !done && strings.Contains(line, text) {
			done = true
			do()
		}
	}
}

// TestConnectionLost: at whatever statement it happens, it is told once: where,
// what is in PostgreSQL now, and what to do.
func TestConnectionLost(t *testing.T) {
	const rows = 300
	for name, c := range map[string]struct {
		statement string
		mode      map[string]any
	}{
		"looking at rights":               {"has_table_privilege", nil},
		"locking":                         {"LOCK TABLE", nil},
		"looking at rows":                 {`"groups" ORDER BY`, nil},
		"copying":                         {`COPY "public"."audit_logs"`, nil},
		"setting sequences":               {"ALTER SEQUENCE", nil},
		"comparing":                       {`FROM "public"."audit_logs") TO STDOUT`, nil},
		"sealing":                         {"pg_stat_xact", nil},
		"committing":                      {"COMMIT", nil},
		"rehearsal: beginning":            {"BEGIN ISOLATION", check(nil)},
		"rehearsal: looking at rights":    {"has_sequence_privilege", check(nil)},
		"rehearsal: looking at rows":      {` FROM "public"."groups" ORDER BY`, check(nil)},
		"rehearsal: looking at sequences": {"seqincrement", check(nil)},
	} {
		for _, how := range []string{"session ended", "network cut"} {
			t.Run(name+", "+how, func(t *testing.T) {
				f := auditFixture(t, rows)
				pgtest.Exec(t, f.dsn, "INSERT INTO audit_logs VALUES (1, '2026-01-02T03:04:05.000001+00:00', 'admin1', 'details of event 1')")
				before := f.target(t)
				proxy := pgtest.NewProxy(t, f.dsn)
				f.through(t, proxy.DSN)
				cut := make(chan struct{})
				proxy.When(c.statement, func() {
					defer close(cut)
					if how == "network cut" {
						proxy.Cut()
						return
					}
					pgtest.Exec(t, f.dsn, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '"+application+"'")
				})
				r := f.run(t, c.mode)
				<-cut
				state := "nothing was committed"
				if c.statement == "COMMIT" {
					state = "whether it was committed is not known"
				}
				if !r.Failed || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].At, "postgresql://admin@") || !strings.Contains(r.Problems[0].Fix, "run again") ||
					!strings.Contains(r.Problems[0].What, state) || strings.Contains(r.text(), "conn closed") {
					t.Errorf("told is: %s", r.text())
				}
				f.awaitNobody(t)
				if got := f.target(t); got != before {
					t.Errorf("PostgreSQL has changed:\n%s", got)
				}
				if r := f.run(t, map[string]any{"postgres_dsn": f.dsn}); r.Failed {
					t.Fatalf("the run after: %s", r.text())
				}
				f.loaded(t, rows)
			})
		}
	}
}

func TestInterrupted(t *testing.T) {
	const rows = 3000
	f := auditFixture(t, rows)
	before := f.target(t)
	ctx, cancel := context.WithCancel(context.Background())
	r := f.runContext(t, ctx, nil, on("Migrating groups", cancel))
	if !r.Failed || r.Changed {
		t.Errorf("told is: %s", r.text())
	}
	f.awaitNobody(t)
	if got := f.target(t); got != before {
		t.Errorf("PostgreSQL has changed:\n%s", got)
	}
}

// session opens a connection of somebody else and runs statements.
func (f *fixture) session(t *testing.T, statements string) {
	t.Helper()
	ctx := context.Background()
	conn, err := postgres.Connect(ctx, f.dsn, "somebody else")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	if err := postgres.Run(ctx, conn, statements); err != nil {
		t.Fatal(err)
	}
}

// stops fails the test unless the module stops, tells all that is wanted and
// leaves PostgreSQL as it was: as the tests' own role sees it, whichever f uses.
func (f *fixture) stops(t *testing.T, wanted []string) {
	t.Helper()
	admin := *f
	admin.dsn = shared
	before := admin.target(t)
	r := f.run(t, nil)
	if !r.Failed || r.Changed {
		t.Errorf("not stopped: %s", r.text())
	}
	for _, want := range wanted {
		if !strings.Contains(r.text(), want) {
			t.Errorf("not told: %s\ntold is: %s", want, r.text())
		}
	}
	if got := admin.target(t); got != before {
		t.Errorf("PostgreSQL has changed:\n%s\nwas\n%s", got, before)
	}
}

// late makes a trigger that acts at the commit, if nobody has it act earlier.
func (f *fixture) late(t *testing.T, table, event, action string) {
	t.Helper()
	name := "late_" + table + "_" + event
	pgtest.Exec(t, f.dsn, "CREATE FUNCTION "+name+"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+action+"; RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER "+name+" AFTER "+event+" ON "+table+" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "+name+"()")
}

func TestWhatStandsInTheWayIsNamed(t *testing.T) {
	old := lockTimeout
	lockTimeout = "300ms"
	t.Cleanup(func() { lockTimeout = old })
	for name, c := range map[string]struct {
		prepare func(*testing.T, *fixture)
		want    []string
	}{
		"a session that writes": {
			func(t *testing.T, f *fixture) { f.session(t, "BEGIN; DELETE FROM groups") },
			[]string{"other sessions hold locks on CIDX's tables: process", "somebody else", "stop every cluster node, end these sessions"}},
		"another migration": {
			func(t *testing.T, f *fixture) { f.session(t, "BEGIN; SELECT pg_advisory_xact_lock("+lockKey+")") },
			[]string{"another migration holds the lock"}},
		"a trigger that changes rows": {
			func(t *testing.T, f *fixture) {
				pgtest.Exec(t, f.dsn, `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$`,
					"CREATE TRIGGER shout BEFORE INSERT ON groups FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION shout()")
			},
			[]string{"groups: PostgreSQL holds other rows than SQLite after the load", "row id=2 is changed after the load (name)", "Validation: FAILED"}},
		"a trigger that waits for the commit": {
			func(t *testing.T, f *fixture) { f.late(t, "groups", "INSERT", "DELETE FROM groups WHERE id = 2") },
			[]string{"groups: PostgreSQL holds other rows than SQLite after the load", "row id=2 is lost after the load", "Validation: FAILED"}},
		"a trigger that puts off what it does": {
			func(t *testing.T, f *fixture) {
				f.late(t, "groups", "INSERT", "SET CONSTRAINTS ALL DEFERRED; UPDATE audit_logs SET details = details WHERE id = 1")
				f.late(t, "audit_logs", "UPDATE", "SET CONSTRAINTS ALL DEFERRED; UPDATE audit_logs SET details = details WHERE id = 1")
			},
			[]string{"a trigger puts off what it does until after the comparison", "nothing was committed"}},
		"a trigger on the record of the load": {
			func(t *testing.T, f *fixture) {
				pgtest.Exec(t, f.dsn, fmt.Sprintf(createMarker, markerTable))
				f.late(t, markerTable, "INSERT", "DELETE FROM groups WHERE id = 2")
			},
			[]string{"row id=2 is lost after the load"}},
		"a trigger that changes a key": {
			func(t *testing.T, f *fixture) {
				f.write(t, mfaFile, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
				pgtest.Exec(t, f.dsn, fmt.Sprintf(createSecrets, secretsTable))
				f.late(t, secretsTable, "INSERT", "UPDATE cluster_secrets SET key_value = 'x'")
			},
			[]string{"mfa_encryption_key is not what was stored", "cluster_secrets"}},
		"a role without rights": {
			func(t *testing.T, f *fixture) {
				f.asRole(t, "weak", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak")
			},
			[]string{"role weak lacks rights (SELECT, INSERT, DELETE) on", "GRANT ALL ON ALL TABLES IN SCHEMA public TO weak"}},
		"a role without rights on sequences": {
			func(t *testing.T, f *fixture) {
				f.asRole(t, "clerk", "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk; GRANT CREATE ON SCHEMA public TO clerk")
			},
			[]string{"role clerk lacks rights (SELECT, UPDATE) on sequences public.groups_id_seq, public.audit_logs_id_seq", "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO clerk"}},
		"a role that may not create": {
			func(t *testing.T, f *fixture) {
				f.asRole(t, "tenant", "GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO tenant")
			},
			[]string{"role tenant may not create tables in schema public", "GRANT CREATE ON SCHEMA public TO tenant"}},
		"read-only transactions": {
			func(t *testing.T, f *fixture) {
				f.asRole(t, "reader", "GRANT ALL ON ALL TABLES IN SCHEMA public TO reader; ALTER ROLE reader SET default_transaction_read_only = on")
			},
			[]string{"transactions are read-only"}},
		"too many connections": {
			func(t *testing.T, f *fixture) { f.asRole(t, "limited", "ALTER ROLE limited CONNECTION LIMIT 0") },
			[]string{"too many connections for role", "raise max_connections"}},
		"a damaged snapshot": {
			func(t *testing.T, f *fixture) {
				path := f.path(".cluster-migrate/snapshot/groups.db")
				raw, _ := os.ReadFile(path)
				for i := 8192; i < min(len(raw), 30000); i++ {
					raw[i] = 0xa5
				}
				_ = os.WriteFile(path, raw, 0o600)
			},
			[]string{"(SQLite code 11)", "/home/groups.db: "}},
		"a snapshot that is no database": {
			func(t *testing.T, f *fixture) {
				f.write(t, ".cluster-migrate/snapshot/oauth.db", "hello, this is text")
			},
			[]string{"/home/oauth.db: not a SQLite database (seen in the private copy ", "snapshot/oauth.db)"}},
		"no snapshot": {
			func(t *testing.T, f *fixture) { _ = os.Remove(f.path(".cluster-migrate/snapshot/oauth.db")) },
			[]string{"no private snapshot of oauth.db", "run the backup step"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := auditFixture(t, 3000)
			c.prepare(t, f)
			f.stops(t, c.want)
		})
	}
}

// TestADamagedDatabaseIsNamed: by its own path, not by that of a copy that is
// gone, whatever reads it first.
func TestADamagedDatabaseIsNamed(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut off":         func(raw []byte) []byte { return raw[:20000] },
		"garbage inside":  func(raw []byte) []byte { return append(raw[:8192:8192], bytes.Repeat([]byte{0xa5}, len(raw)-8192)...) },
		"another content": func(raw []byte) []byte { return bytes.Repeat([]byte("x"), len(raw)) },
		"a broken schema": func(raw []byte) []byte {
			return append(append(raw[:100:100], bytes.Repeat([]byte{0x77}, 400)...), raw[500:]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := auditFixture(t, 3000)
			raw, err := os.ReadFile(f.path("groups.db"))
			if err != nil {
				t.Fatal(err)
			}
			f.write(t, "groups.db", string(damage(raw)))
			r := f.run(t, check(nil))
			if !r.Failed || !strings.Contains(r.text(), f.path("groups.db")+": ") || strings.Contains(r.text(), "cidx-database-") {
				t.Errorf("told is: %s", r.text())
			}
		})
	}
}

// TestAKilledServersJournal: a writer died in the middle of a transaction, and
// nobody can start the server to clean up. Rehearsal and run roll back in copies
// of their own.
func TestAKilledServersJournal(t *testing.T) {
	f := auditFixture(t, 3000)
	crashed := f.path("killed.db")
	db := f.openSQLite(t, "groups.db", "PRAGMA cache_size=1; BEGIN; UPDATE groups SET name = 'half'||id; UPDATE audit_logs SET details = 'half written, and longer than it was before'")
	for from, to := range map[string]string{"groups.db": "killed.db", "groups.db-journal": "killed.db-journal"} {
		raw, err := os.ReadFile(f.path(from))
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, to, string(raw))
	}
	db.Close()
	for _, suffix := range []string{"", "-journal"} {
		if err := os.Rename(crashed+suffix, f.path("groups.db"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-journal"} { // what cidx_backup keeps
		raw, err := os.ReadFile(f.path("groups.db" + suffix))
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, ".cluster-migrate/snapshot/groups.db"+suffix, string(raw))
	}
	source, snapshot := f.source(t), f.snapshot(t)
	if r := f.run(t, check(nil)); r.Failed {
		t.Fatalf("rehearsal: %s", r.text())
	}
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("real run: %s", r.text())
	}
	if f.source(t) != source || f.snapshot(t) != snapshot {
		t.Error("the source has changed")
	}
	if got := f.query(t, "SELECT string_agg(name, ',' ORDER BY id), (SELECT count(*) FROM audit_logs WHERE details LIKE 'half%') FROM groups"); got != "admins,staff|0" {
		t.Errorf("PostgreSQL has %s", got)
	}
}

// asRole makes a role with the given rights and uses it from now on.
func (f *fixture) asRole(t *testing.T, role, grants string) {
	t.Helper()
	pgtest.Exec(t, f.dsn, "DROP ROLE IF EXISTS "+role, "CREATE ROLE "+role+" LOGIN PASSWORD '"+pgtest.Password+"'", "GRANT USAGE ON SCHEMA public TO "+role, grants)
	f.dsn = strings.Replace(f.dsn, "//admin:", "//"+role+":", 1)
	config, _ := os.ReadFile(f.path("config.json"))
	f.write(t, "config.json", strings.Replace(string(config), "//admin:", "//"+role+":", 1))
	t.Cleanup(func() { pgtest.Exec(t, shared, "DROP OWNED BY "+role, "DROP ROLE "+role) })
}

// TestLargeTablesWithWhatWaits: rows of an index run that stay, and triggers that
// wait for the commit, do not keep the indexes of a large table from being
// rebuilt.
func TestLargeTablesWithWhatWaits(t *testing.T) {
	const rows = largeTable + 1
	f := auditFixture(t, rows)
	f.sqlite(t, "data/cidx_server.db", fmt.Sprintf(`CREATE TABLE embedding_call_stats (id INTEGER PRIMARY KEY AUTOINCREMENT, provider TEXT NOT NULL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO embedding_call_stats SELECT i, 'voyage' FROM n`, rows))
	pgtest.Exec(t, f.dsn, "CREATE TABLE embedding_call_stats (id bigserial PRIMARY KEY, provider text NOT NULL)", "CREATE INDEX idx_provider ON embedding_call_stats (provider)",
		"INSERT INTO embedding_call_stats (provider) SELECT 'after-join' FROM generate_series(1, 7000)")
	for _, table := range []string{"audit_logs", "embedding_call_stats"} {
		for _, event := range []string{"INSERT", "UPDATE", "DELETE"} {
			f.late(t, table, event, "NULL")
		}
	}
	f.backup(t)
	if r := f.run(t, nil); r.Failed || !r.Changed {
		t.Fatalf("told is: %s", r.text())
	}
	f.loaded(t, rows)
	if got, want := f.query(t, "SELECT count(*), count(*) FILTER (WHERE provider = 'after-join' AND id > 5001), nextval('embedding_call_stats_id_seq') > max(id) FROM embedding_call_stats"), "12001|7000|t"; got != want {
		t.Errorf("PostgreSQL has %s, want %s", got, want)
	}
	if r := f.run(t, map[string]any{"phase": "verify"}); r.Failed || r.AddedRows != 7000 {
		t.Errorf("verify: %s", r.text())
	}
	if r := f.run(t, map[string]any{"phase": "rollback"}); r.Failed {
		t.Fatalf("rollback: %s", r.text())
	}
	if r := f.run(t, nil); r.Failed || !r.Changed {
		t.Fatalf("loaded again: %s", r.text())
	}
}

// TestWithoutOwnership: a role that owns nothing loads a large table as well,
// and says that it takes longer.
func TestWithoutOwnership(t *testing.T) {
	const rows = largeTable + 1
	f := auditFixture(t, rows)
	definitions := "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'cidx_cluster_migration' ORDER BY 1"
	before := f.query(t, definitions)
	f.asRole(t, "guest", "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO guest; GRANT CREATE ON SCHEMA public TO guest")
	r := f.run(t, nil)
	if r.Failed || !strings.Contains(r.text(), "audit_logs belongs to another role: its indexes stay") {
		t.Fatalf("told is: %s", r.text())
	}
	f.loaded(t, rows)
	if after := f.query(t, definitions); after != before {
		t.Errorf("indexes are\n%s\nwere\n%s", after, before)
	}
}

// TestLargeTablesAreRebuilt: every definition is as before.
func TestLargeTablesAreRebuilt(t *testing.T) {
	const rows = largeTable + 1
	f := auditFixture(t, rows)
	pgtest.Exec(t, f.dsn, "COMMENT ON INDEX idx_audit_lower IS 'kept'", "CREATE UNIQUE INDEX uq ON audit_logs (timestamp) INCLUDE (details)", "ALTER TABLE audit_logs ADD CONSTRAINT named UNIQUE (id, admin_id)",
		"CREATE TABLE notes (id serial PRIMARY KEY, audit integer REFERENCES audit_logs(id) ON DELETE SET NULL)")
	definitions := `SELECT c.relname, pg_get_indexdef(c.oid), obj_description(c.oid), NULL FROM pg_class c WHERE relkind = 'i' AND relnamespace = 'public'::regnamespace AND relname <> 'cidx_cluster_migration_pkey'
		UNION ALL SELECT conname, pg_get_constraintdef(oid), conrelid::regclass::text, contype::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('cidx_cluster_migration'), 0::oid) ORDER BY 1, 2`
	before := f.query(t, definitions)
	r := f.run(t, nil)
	if r.Failed || !strings.Contains(r.text(), "stays while a large table is loaded: index idx_audit_lower (with a comment)") {
		t.Fatalf("told is: %s", r.text())
	}
	if after := f.query(t, definitions); after != before {
		t.Errorf("definitions are\n%s\nwere\n%s", after, before)
	}
	f.loaded(t, rows)
}
