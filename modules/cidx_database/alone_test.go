package database

import (
	"context"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/pgtest"
)

// TestAnotherNodeThatWorksOnTheDatabaseStopsTheLoad: at its beginning, and also
// when it came while the rows were moved.
func TestAnotherNodeThatWorksOnTheDatabaseStopsTheLoad(t *testing.T) {
	const online = `INSERT INTO cluster_nodes (node_id, hostname, status, last_heartbeat) VALUES ('node-2', 'h', 'online', now() + interval '1 hour')
		ON CONFLICT (node_id) DO UPDATE SET last_heartbeat = excluded.last_heartbeat`
	f := auditFixture(t, 3000)
	pgtest.Exec(t, f.dsn, "CREATE TABLE IF NOT EXISTS cluster_nodes (node_id text PRIMARY KEY, hostname text, status text, last_heartbeat timestamptz)")
	t.Cleanup(func() { pgtest.Exec(t, f.dsn, "DROP TABLE cluster_nodes") })
	before := f.target(t)
	started := false
	r := f.runContext(t, context.Background(), nil, on("Migrating groups", func() { started = true; pgtest.Exec(t, f.dsn, online) }))
	if !started || !r.Failed || r.Changed || !strings.Contains(r.text(), `another node of the cluster is online: "node-2"`) {
		t.Errorf("a node that came during the load (%v): %s", started, r.text())
	}
	pgtest.Exec(t, f.dsn, online)
	if r = f.run(t, nil); !r.Failed || !strings.Contains(r.text(), `"node-2"`) {
		t.Errorf("a node that is there: %s", r.text())
	}
	pgtest.Exec(t, f.dsn, "DELETE FROM cluster_nodes")
	if got := f.target(t); got != before {
		t.Errorf("PostgreSQL has changed:\n%s", got)
	}
	pgtest.Exec(t, f.dsn, strings.Replace(online, "now() + interval '1 hour'", "now() - interval '1 hour'", 1))
	if r = f.run(t, nil); r.Failed {
		t.Errorf("a node that is silent: %s", r.text())
	}
}
