package config

import (
	"context"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/pgtest"
)

// TestWhileAnotherNodeWorksNothingIsSwitched: neither there nor, without the
// operator's word, back; our own heartbeat does not count.
func TestWhileAnotherNodeWorksNothingIsSwitched(t *testing.T) {
	h := ready(t)
	pgtest.Exec(t, h.DSN, "CREATE TABLE IF NOT EXISTS cluster_nodes (node_id text PRIMARY KEY, status text, last_heartbeat timestamptz)",
		"INSERT INTO cluster_nodes (node_id, status, last_heartbeat) VALUES ('node-2', 'online', now() + interval '1 hour')")
	before := homeNow(t, h)
	if _, err := call(h, home.ToCluster, ansible.Mode{}, nil); err == nil || !strings.Contains(err.Error(), `another node of the cluster is online: "node-2"`) {
		t.Errorf("the cut-over: %v", err)
	}
	if after := homeNow(t, h); len(after) != len(before) || linked(h) {
		t.Error("the refused cut-over has changed the home")
	}
	pgtest.Exec(t, h.DSN, "UPDATE cluster_nodes SET node_id = 'node-1'")
	to(t, h, home.ToCluster)
	check := ansible.Mode{Check: true}
	if _, err := call(h, home.ToStandalone, check, nil); err != nil {
		t.Errorf("back, while only we are online: %v", err)
	}
	pgtest.Exec(t, h.DSN, "UPDATE cluster_nodes SET node_id = 'node-2'")
	if _, err := call(h, home.ToStandalone, check, nil); err == nil || !strings.Contains(err.Error(), "cidx_rollback_with_live_nodes=yes") {
		t.Errorf("back, while another node is online: %v", err)
	}
	wanted := args{Common: home.Common{Home: h.Dir}, Wanted: home.ToStandalone, LiveNodes: true}
	if reply, err := newRequest(wanted, check, nil).run(context.Background()); err != nil || len(reply.Warnings) != 1 || !strings.Contains(reply.Warnings[0], `"node-2"`) {
		t.Errorf("back as the operator wants it: %v, %q", err, reply.Warnings)
	}
	if reply, err := newRequest(wanted, ansible.Mode{}, nil).run(context.Background()); err != nil || len(reply.Warnings) != 1 {
		t.Errorf("and done: %v, %q", err, reply.Warnings)
	}
	pgtest.Exec(t, h.DSN, "DELETE FROM cluster_nodes")
	to(t, h, home.ToCluster)
	away := args{Common: home.Common{Home: h.Dir}, Wanted: home.ToStandalone, DSN: "postgresql://u@127.0.0.1:1/x"}
	if reply, err := newRequest(away, check, nil).run(context.Background()); err != nil || len(reply.Warnings) != 1 || !strings.Contains(reply.Warnings[0], "not known") {
		t.Errorf("back without PostgreSQL: %v, %q", err, reply.Warnings)
	}
}
