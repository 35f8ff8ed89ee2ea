package database

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/pgtest"
)

// watchedFixture has large and small tables, rows of a first start and of index
// runs, and triggers and defaults that draw from sequences.
func watchedFixture(t *testing.T) *fixture {
	t.Helper()
	const rows = load.LargeTable + 1
	f := auditFixture(t, rows)
	f.sqlite(t, "data/cidx_server.db", fmt.Sprintf(`DROP TABLE sync_jobs; CREATE TABLE sync_jobs (job_id TEXT PRIMARY KEY, status TEXT NOT NULL); INSERT INTO sync_jobs VALUES ('a', 'completed'), ('b', 'running');
		CREATE TABLE embedding_call_stats (id INTEGER PRIMARY KEY AUTOINCREMENT, provider TEXT NOT NULL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO embedding_call_stats SELECT i, 'voyage' FROM n`, rows))
	pgtest.Exec(t, f.dsn, "CREATE TABLE embedding_call_stats (id bigserial PRIMARY KEY, provider text NOT NULL)", "CREATE INDEX idx_provider ON embedding_call_stats (provider)",
		"INSERT INTO embedding_call_stats (provider) SELECT 'after-join' FROM generate_series(1, 30)",
		"CREATE TABLE sync_jobs (job_id text PRIMARY KEY, status text NOT NULL, number serial)",
		"CREATE SCHEMA IF NOT EXISTS dba", "CREATE TABLE IF NOT EXISTS dba.trail (id serial, what text)", "TRUNCATE dba.trail",
		"CREATE FUNCTION trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO dba.trail (what) VALUES (TG_TABLE_NAME); RETURN NEW; END $$",
		"CREATE TRIGGER trail AFTER INSERT ON groups FOR EACH ROW EXECUTE FUNCTION trail()")
	f.backup(t)
	return f
}

// everything is what a rehearsal must leave alone: definitions, rows, files of
// tables, sequences in every schema, locks, temporary tables.
func (f *fixture) everything(t *testing.T) string {
	t.Helper()
	return f.target(t) + "\n" + f.query(t, `SELECT 'trail', count(*)::text, (SELECT last_value || ' ' || is_called FROM dba.trail_id_seq) FROM dba.trail
		UNION ALL SELECT 'file of ' || relname, pg_relation_filenode(oid)::text, pg_relation_size(oid)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname LIKE 'audit%'
		UNION ALL SELECT 'lock', relation::regclass::text, mode FROM pg_locks WHERE pid <> pg_backend_pid() AND relation >= 16384
		UNION ALL SELECT 'advisory lock', objid::text, mode FROM pg_locks WHERE locktype = 'advisory'
		UNION ALL SELECT 'temporary', relname, '' FROM pg_class WHERE relpersistence = 't' ORDER BY 1, 2`)
}

// TestTheRehearsalLeavesPostgreSQLAsItWas: whatever it has written meanwhile.
func TestTheRehearsalLeavesPostgreSQLAsItWas(t *testing.T) {
	f := watchedFixture(t)
	before := f.everything(t)
	for _, name := range []string{"that agrees", "that finds something"} {
		if name == "that finds something" {
			pgtest.Exec(t, f.dsn, "ALTER TABLE sync_jobs ADD CONSTRAINT running CHECK (status <> 'failed')")
			before = f.everything(t)
		}
		r := f.run(t, check(map[string]any{"quarantine": name == "that finds something"}))
		if r.Failed || r.Rows == 0 {
			t.Errorf("a rehearsal %s: %s", name, r.text())
		}
		f.awaitNobody(t)
		if after := f.everything(t); after != before {
			t.Errorf("a rehearsal %s has changed PostgreSQL:\n%s\nwas\n%s", name, after, before)
		}
	}
}

// TestTheForecastIsWhatTheLoadDoes: in rows, tables, jobs, paths, quarantine.
func TestTheForecastIsWhatTheLoadDoes(t *testing.T) {
	f := watchedFixture(t)
	pgtest.Exec(t, f.dsn, "ALTER TABLE sync_jobs ADD CONSTRAINT running CHECK (status <> 'failed')")
	arguments := map[string]any{"quarantine": true}
	forecast, fact := f.run(t, check(arguments)), f.run(t, arguments)
	if forecast.Failed || fact.Failed {
		t.Fatalf("%s\n%s", forecast.text(), fact.text())
	}
	if !strings.Contains(forecast.Msg, fmt.Sprintf("would load %s rows of %d tables; 1 row would go to quarantine", human.Number(fact.Rows), len(fact.Tables))) {
		t.Errorf("forecast: %s\nfact: %s", forecast.Msg, fact.Msg)
	}
	for i, table := range fact.Tables {
		if told := forecast.Tables[i]; told.Table != table.Table || told.Rows != table.Rows {
			t.Errorf("forecast: %+v, fact: %+v", told, table)
		}
	}
	if forecast.Jobs != fact.Jobs || forecast.Paths != fact.Paths || fact.Quarantined != 1 {
		t.Errorf("forecast: %s\nfact: %s", forecast.raw, fact.raw)
	}
}

// TestAKilledRehearsalLeavesNothing at whatever statement it is killed.
func TestAKilledRehearsalLeavesNothing(t *testing.T) {
	for _, statement := range []string{"INCREMENT BY", "CREATE TEMPORARY TABLE", "LOCK TABLE", "DELETE FROM", "TRUNCATE", `COPY "public"."audit_logs"`, "CREATE INDEX", "ALTER SEQUENCE public.groups_id_seq RESTART", "cidx_cluster_migration", ") TO STDOUT"} {
		t.Run(statement, func(t *testing.T) {
			f := watchedFixture(t)
			before := f.everything(t)
			proxy := pgtest.NewProxy(t, f.dsn)
			child := exec.Command(os.Args[0])
			proxy.When(statement, func() { _ = child.Process.Kill() })
			input, _ := json.Marshal(check(map[string]any{"home": f.home, "postgres_dsn": proxy.DSN}))
			child.Env, child.Stdin = append(os.Environ(), childVariable+"=1"), bytes.NewReader(input)
			if out, err := child.Output(); err == nil {
				t.Fatalf("not killed: %s", out)
			}
			f.awaitNobody(t)
			if after := f.everything(t); after != before {
				t.Errorf("PostgreSQL has changed:\n%s\nwas\n%s", after, before)
			}
		})
	}
}

// TestIndexRunsDoNotWaitForARehearsal: they write to their table, and draw from
// its sequence, at every statement of it.
func TestIndexRunsDoNotWaitForARehearsal(t *testing.T) {
	f := watchedFixture(t)
	proxy := pgtest.NewProxy(t, f.dsn)
	statements := []string{"CREATE TEMPORARY TABLE", "LOCK TABLE", "TRUNCATE", `COPY "pg_temp"."embedding_call_stats"`, "CREATE INDEX", "RESTART", "cidx_cluster_migration", "ROLLBACK"}
	written := 0
	var write func()
	write = func() {
		pgtest.Exec(t, f.dsn, "SET lock_timeout = '500ms'", "INSERT INTO embedding_call_stats (provider) VALUES ('index run')")
		if written++; written < len(statements) {
			proxy.When(statements[written], write)
		}
	}
	proxy.When(statements[0], write)
	if r := f.run(t, check(map[string]any{"postgres_dsn": proxy.DSN})); r.Failed || !strings.Contains(r.text(), "Would keep embedding_call_stats... 3") {
		t.Errorf("told is: %s", r.text())
	}
	if got := f.query(t, "SELECT count(*) FROM embedding_call_stats WHERE provider = 'index run'"); written != len(statements) || got != fmt.Sprint(written) {
		t.Errorf("%d of %d writes, %s rows", written, len(statements), got)
	}
}

// TestARehearsalDoesNotQueue behind a session that reads, for others would wait
// behind it; the session is named.
func TestARehearsalDoesNotQueue(t *testing.T) {
	old := limits.Haste
	limits.Haste = "300ms"
	t.Cleanup(func() { limits.Haste = old })
	f := watchedFixture(t)
	f.session(t, "BEGIN; SELECT count(*) FROM audit_logs")
	r := f.run(t, check(nil))
	if !r.Failed || !regexp.MustCompile(`other sessions hold locks on CIDX's tables: process \d+ \(user admin, somebody else, from .*wait for a backup such as pg_dump`).MatchString(r.text()) {
		t.Errorf("told is: %s", r.text())
	}
}

// TestARefusedTableIsNotSearchedForEver: after some rows the rest is not tried,
// and that is told.
func TestARefusedTableIsNotSearchedForEver(t *testing.T) {
	old := limits.Most
	limits.Most = 60
	t.Cleanup(func() { limits.Most = old })
	f := auditFixture(t, 3000)
	pgtest.Exec(t, f.dsn, "ALTER TABLE audit_logs ADD CONSTRAINT few CHECK (id < 100)")
	r := f.run(t, check(nil))
	if !r.Failed || !strings.Contains(r.text(), "audit_logs: row id=100: violates check constraint few") || !strings.Contains(r.text(), "60 of the first 500 rows are refused; those after them were not tried") {
		t.Errorf("told is: %s", r.text())
	}
	if r := f.run(t, check(map[string]any{"quarantine": true})); r.Failed || !strings.Contains(r.Msg, "2,901 rows would go to quarantine") {
		t.Errorf("with quarantine: %s", r.text())
	}
}
