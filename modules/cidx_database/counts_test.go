package database

import (
	"os"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/pgtest"
)

// After the acceptance, or where somebody has removed it, there is no snapshot to
// compare with: tables and rows are counted, and what is gone altogether is told.
func TestVerifyCountsWhereTheSnapshotIsGone(t *testing.T) {
	f := auditFixture(t, 100)
	if r := f.run(t, nil); r.Failed {
		t.Fatal(r.text())
	}
	state := home.Common{Home: f.home}.State()
	if err := os.RemoveAll(string(state)); err != nil {
		t.Fatal(err)
	}
	f.clusterLives(t)
	r := f.run(t, map[string]any{"phase": "verify"})
	if r.Failed || r.Changed || !strings.Contains(r.text(), "Counting audit_logs... 101 rows, 100 loaded") || !strings.Contains(r.text(), "Validation: PASSED (rows counted") {
		t.Errorf("%s", r.text())
	}
	pgtest.Exec(t, f.dsn, "DELETE FROM audit_logs")
	if r = f.run(t, map[string]any{"phase": "verify"}); !r.Failed || !strings.Contains(r.text(), "table audit_logs: all 100 rows that were loaded are gone") {
		t.Errorf("emptied: %s", r.text())
	}
	pgtest.Exec(t, f.dsn, "DROP TABLE audit_logs")
	if r = f.run(t, map[string]any{"phase": "verify"}); !r.Failed || !strings.Contains(r.text(), "table audit_logs: all 100 rows that were loaded are gone") {
		t.Errorf("dropped: %s", r.text())
	}
	pgtest.Exec(t, f.dsn, "UPDATE cidx_cluster_migration SET host = 'elsewhere'")
	if r = f.run(t, map[string]any{"phase": "verify"}); !r.Failed || !strings.Contains(r.text(), "another server") {
		t.Errorf("of another server: %s", r.text())
	}
}
