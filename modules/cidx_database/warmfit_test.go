package database

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/pgtest"
)

// TestDeltaKeepsWhatOthersHave: a row that goes would take rows of a table along
// that is none of ours. It stays, and the load is refused.
func TestDeltaKeepsWhatOthersHave(t *testing.T) {
	f := warmFixture(t, 100)
	f.warm(t)
	pgtest.Exec(t, f.dsn, "CREATE TABLE notes (session text REFERENCES research_sessions (id) ON DELETE CASCADE)", "INSERT INTO notes VALUES ('c'), (NULL)")
	f.sqlite(t, "data/cidx_server.db", since)
	f.backup(t)
	r := f.run(t, nil)
	if !r.Failed || !strings.Contains(r.text(), "table notes refers to rows of research_sessions") {
		t.Errorf("load: %s", r.text())
	}
	if got := f.query(t, "SELECT count(*) FROM notes"); got != "2" {
		t.Fatalf("%s notes are left", got)
	}
	// What refers to nothing loses nothing.
	pgtest.Exec(t, f.dsn, "DELETE FROM notes WHERE session IS NOT NULL")
	if r := f.run(t, nil); r.Failed {
		t.Errorf("load: %s", r.text())
	}
	if got := f.query(t, "SELECT count(*) FROM notes"); got != "1" {
		t.Errorf("%s notes are left", got)
	}
}

// TestTablesThatHinderOnlyTheWarmLoad: what the whole load takes is loaded after
// the stop. A table that is not loaded before it has rows of a load that was given
// up, which refer to rows that the warm load would replace.
func TestTablesThatHinderOnlyTheWarmLoad(t *testing.T) {
	f := warmFixture(t, 100)
	f.sqlite(t, "data/cidx_server.db", "DROP TABLE research_messages; CREATE TABLE research_messages (id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT) WITHOUT ROWID; INSERT INTO research_messages VALUES (1, 'a', 'user', 'x')")
	f.backup(t)
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("load: %s", r.text())
	}
	if r := f.run(t, map[string]any{"phase": "rollback"}); r.Failed {
		t.Fatalf("rollback: %s", r.text())
	}
	f.sqlite(t, "data/cidx_server.db", "INSERT INTO research_sessions VALUES ('d', 'fourth', '/research/d', '2026-02-02T03:04:05+00:00')")
	r := f.run(t, warmly(nil))
	if r.Failed || !r.Skipped || !strings.Contains(r.text(), "everything is loaded after the stop") {
		t.Fatalf("warm load: %s", r.raw)
	}
	f.backup(t)
	if r := f.run(t, nil); r.Failed || f.query(t, "SELECT count(*) FROM research_sessions") != "4" {
		t.Fatalf("load: %s", r.text())
	}
}

// TestWarmLoadListsWhatItReplaces: rows that a cluster wrote after a load was
// given up are replaced before the stop; the list of them is there after the load.
func TestWarmLoadListsWhatItReplaces(t *testing.T) {
	f := warmFixture(t, 100)
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("load: %s", r.text())
	}
	if r := f.run(t, map[string]any{"phase": "rollback"}); r.Failed {
		t.Fatalf("rollback: %s", r.text())
	}
	pgtest.Exec(t, f.dsn, "UPDATE groups SET name = 'of a cluster' WHERE id = 2")
	f.sqlite(t, "groups.db", "INSERT INTO groups VALUES (30, 'thirty')")
	f.warm(t)
	f.backup(t)
	if r := f.run(t, nil); r.Failed {
		t.Fatalf("load: %s", r.text())
	}
	var all strings.Builder
	lists, _ := filepath.Glob(f.path(".cluster-migrate/report/cluster-writes*.jsonl"))
	for _, path := range lists {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	if !strings.Contains(all.String(), "of a cluster") {
		t.Errorf("the row that was replaced is in none of %q: %s", lists, all.String())
	}
}

// TestWarmLoadQueuesBehindNobody: others would wait behind it while the server runs.
func TestWarmLoadQueuesBehindNobody(t *testing.T) {
	f := warmFixture(t, 100)
	f.session(t, "BEGIN; DELETE FROM groups")
	begin := time.Now()
	r := f.run(t, warmly(nil))
	if !r.Failed || !strings.Contains(r.text(), "other sessions hold locks on CIDX's tables") || time.Since(begin) > 10*time.Second {
		t.Errorf("after %v: %s", time.Since(begin), r.text())
	}
}

// TestRollbackRemovesTheCopies of the databases, with the secrets in them, also
// where PostgreSQL does not answer.
func TestRollbackRemovesTheCopies(t *testing.T) {
	for name, dsn := range map[string]string{"PostgreSQL answers": "", "PostgreSQL is away": "host=127.0.0.1 port=1 user=nobody dbname=none"} {
		t.Run(name, func(t *testing.T) {
			f := warmFixture(t, 100)
			f.warm(t)
			if r := f.run(t, check(map[string]any{"phase": "rollback"})); r.Failed || len(listing(t, f.path(".cluster-migrate/warm"))) != 1 {
				t.Errorf("check mode: %s", r.text())
			}
			extra := map[string]any{"phase": "rollback"}
			if dsn != "" {
				extra["postgres_dsn"] = dsn
			}
			if r := f.run(t, extra); r.Failed {
				t.Fatalf("rollback: %s", r.text())
			}
			if _, err := os.Stat(f.path(".cluster-migrate/warm")); !os.IsNotExist(err) {
				t.Errorf("the copies are still there: %v", err)
			}
		})
	}
}
