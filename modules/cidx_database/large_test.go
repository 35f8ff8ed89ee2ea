package database

import (
	"fmt"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/pgtest"
)

// TestLargeTablesWithWhatWaits: rows of an index run that stay, and triggers that
// wait for the commit, do not keep the indexes of a large table from being
// rebuilt.
func TestLargeTablesWithWhatWaits(t *testing.T) {
	const rows = load.LargeTable + 1
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
	const rows = load.LargeTable + 1
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
	const rows = load.LargeTable + 1
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
