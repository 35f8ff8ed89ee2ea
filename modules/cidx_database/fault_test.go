package database

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
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
// leaves PostgreSQL as it was.
func (f *fixture) stops(t *testing.T, wanted []string) {
	t.Helper()
	before := f.target(t)
	r := f.run(t, nil)
	if !r.Failed || r.Changed {
		t.Errorf("not stopped: %s", r.text())
	}
	for _, want := range wanted {
		if !strings.Contains(r.text(), want) {
			t.Errorf("not told: %s\ntold is: %s", want, r.text())
		}
	}
	if got := f.target(t); got != before {
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

// hindrance is what stops a load, and how it is named.
type hindrance struct {
	prepare func(*testing.T, *fixture)
	want    []string
}

// named fails the test unless each of them stops the load and is named.
func named(t *testing.T, hindrances map[string]hindrance) {
	t.Helper()
	for name, h := range hindrances {
		t.Run(name, func(t *testing.T) {
			f := auditFixture(t, 3000)
			h.prepare(t, f)
			f.stops(t, h.want)
		})
	}
}

func TestSessionsInTheWayAreNamed(t *testing.T) {
	old := limits.Patience
	limits.Patience = "300ms"
	t.Cleanup(func() { limits.Patience = old })
	named(t, map[string]hindrance{
		"a session that writes": {
			func(t *testing.T, f *fixture) { f.session(t, "BEGIN; DELETE FROM groups") },
			[]string{"other sessions hold locks on CIDX's tables: process", "somebody else", "stop every cluster node, end these sessions"}},
		"another migration": {
			func(t *testing.T, f *fixture) { f.session(t, "BEGIN; SELECT pg_advisory_xact_lock("+load.LockKey+")") },
			[]string{"another migration holds the lock"}},
	})
}

func TestTriggersInTheWayAreNamed(t *testing.T) {
	named(t, map[string]hindrance{
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
				pgtest.Exec(t, f.dsn, "CREATE TABLE "+cidx.LoadMarker+" "+loaded.Columns)
				f.late(t, cidx.LoadMarker, "INSERT", "DELETE FROM groups WHERE id = 2")
			},
			[]string{"row id=2 is lost after the load"}},
		"a trigger that changes a key": {
			func(t *testing.T, f *fixture) {
				f.write(t, "data/mfa_key.dat", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
				pgtest.Exec(t, f.dsn, "CREATE TABLE cluster_secrets (key_name text PRIMARY KEY, key_value text, updated_at timestamptz)")
				f.late(t, "cluster_secrets", "INSERT", "UPDATE cluster_secrets SET key_value = 'x'")
			},
			[]string{"mfa_encryption_key is not what was stored", "cluster_secrets"}},
	})
}

func TestRightsInTheWayAreNamed(t *testing.T) {
	named(t, map[string]hindrance{
		"a role without rights": {
			func(t *testing.T, f *fixture) {
				f.asRole(t, "weak", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO weak")
			},
			[]string{"role weak lacks rights on table groups, table audit_logs", "GRANT ALL ON ALL TABLES IN SCHEMA public TO weak; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO weak"}},
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
	})
}

func TestSnapshotsInTheWayAreNamed(t *testing.T) {
	named(t, map[string]hindrance{
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
	})
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

// asRole makes a role with the given rights and uses it from now on.
func (f *fixture) asRole(t *testing.T, role, grants string) {
	t.Helper()
	pgtest.Exec(t, f.dsn, "DROP ROLE IF EXISTS "+role, "CREATE ROLE "+role+" LOGIN PASSWORD '"+pgtest.Password+"'", "GRANT USAGE ON SCHEMA public TO "+role, grants)
	f.dsn = strings.Replace(f.dsn, "//admin:", "//"+role+":", 1)
	config, _ := os.ReadFile(f.path("config.json"))
	f.write(t, "config.json", strings.Replace(string(config), "//admin:", "//"+role+":", 1))
	t.Cleanup(func() { pgtest.Exec(t, shared, "DROP OWNED BY "+role, "DROP ROLE "+role) })
}
