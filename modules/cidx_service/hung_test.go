package service

import (
	"context"
	"slices"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hungtest"
	"cidx-cluster/modules/internal/journal"
)

// A rollback starts the server while the share hangs: systemd is not made to
// look at it.
func TestStartedWhileTheShareHangs(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	a, c := m.node(t, 5)
	ask(t, a, c, "stopped")
	m.log = nil
	a.Share = hungtest.Share(t)
	c.Common = a.Common
	r := ask(t, a, c, "started")
	if u := m.units["cidx-server.service"]; u.Active != "active" {
		t.Errorf("the server is %s", u.Active)
	}
	if slices.Contains(m.log, "daemon-reload") {
		t.Error("systemd had to look at the share")
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "does not answer") || !strings.Contains(r.Warnings[0], "systemctl daemon-reload") {
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestNothingIsStoppedWhileTheShareHangs(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	a, c := m.node(t, 5)
	a.Share, a.Wanted = hungtest.Share(t), "stopped"
	c.Common = a.Common
	_, err := run(context.Background(), a, ansible.Mode{}, c)
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v", err)
	}
	if u := m.units["cidx-server.service"]; u.Active != "active" || slices.Contains(m.log, "daemon-reload") {
		t.Errorf("the server is %s; %q", u.Active, m.log)
	}
	if there(a.State().Hold()) || there(a.State().Units()) {
		t.Error("a hold is left")
	}
}

// Who goes back because the share is dead must not need it for the stop.
func TestANodeOfTheClusterIsStoppedWhileTheShareHangs(t *testing.T) {
	t.Parallel()
	for _, state := range []string{home.ToCluster, home.ToNode} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			a, c := m.node(t, 5)
			if err := journal.Append(a.State().Journal(), home.ConfigModule, home.ConfigDone, map[string]any{"state": state}); err != nil {
				t.Fatal(err)
			}
			a.Share = hungtest.Share(t)
			c.Common = a.Common
			ask(t, a, c, "stopped")
			for name, active := range m.states() {
				if active == "active" {
					t.Errorf("%s is active", name)
				}
			}
			ask(t, a, c, "started")
			ask(t, a, c, "released")
			if u := m.units["cidx-server.service"]; u.Active != "active" || slices.Contains(m.log, "daemon-reload") {
				t.Errorf("the server is %s; %q", u.Active, m.log)
			}
		})
	}
}
