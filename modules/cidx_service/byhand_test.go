package service

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// heldNode is a stopped server whose home has a name that needs quoting
// everywhere, and whose configuration is one of a cluster.
func heldNode(t *testing.T) (*machine, args, string) {
	t.Helper()
	m := newMachine(t)
	a, _ := m.node(t, 5)
	a.Home = filepath.Join(t.TempDir(), `it's 100% "$HOME" \ here`)
	if err := os.Mkdir(a.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(a.Home, "config.json")
	write(t, config, `{"storage_mode": "postgres"}`, -time.Minute)
	return m, a, config
}

func write(t *testing.T, path, text string, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestTheHoldGivesWayToAnOperatorWhoGoesBackByHand(t *testing.T) {
	cases := map[string]struct {
		config  string
		age     time.Duration
		version int
		starts  bool
	}{
		"standalone configuration copied back":                 {`{"storage_mode": "sqlite"}`, time.Minute, 252, true},
		"configuration without a storage mode copied back":     {`{}`, time.Minute, 252, true},
		"cluster configuration written by our own cut-over":    {`{"storage_mode": "postgres"}`, time.Minute, 252, false},
		"the same without spaces":                              {`{"storage_mode":"postgres"}`, time.Minute, 252, false},
		"standalone from the start, as after a rollback":       {`{"storage_mode": "sqlite"}`, -time.Minute, 252, false},
		"systemd without ExecCondition: the hold file decides": {`{"storage_mode": "sqlite"}`, time.Minute, 239, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, a, config := heldNode(t)
			m.version = c.version
			_, control := m.node(t, 5)
			control.Common = a.Common
			ask(t, a, control, "stopped")
			write(t, config, c.config, c.age)
			m.change("start", "cidx-server.service")
			if got := m.units["cidx-server.service"].Active == "active"; got != c.starts {
				t.Errorf("started: %v, want %v", got, c.starts)
			}
			m.change("start", "cidx-auto-update.service")
			if m.units["cidx-auto-update.service"].Active == "active" {
				t.Error("the updater is let go as well")
			}
		})
	}
}

func TestTheNextMigrationHoldsAgainAfterAWayBackByHand(t *testing.T) {
	m, a, config := heldNode(t)
	_, control := m.node(t, 5)
	control.Common = a.Common
	ask(t, a, control, "stopped")
	write(t, a.State().Hold(), "", -time.Hour)
	write(t, config, `{"storage_mode": "sqlite"}`, -time.Minute)
	m.change("start", "cidx-server.service")
	if m.units["cidx-server.service"].Active != "active" {
		t.Fatal("the way back by hand is closed")
	}
	if r := ask(t, a, control, "stopped"); !r.Changed {
		t.Error("stopped: changed is false")
	}
	m.updates()
	if m.units["cidx-server.service"].Active != "inactive" {
		t.Error("the server was started in the middle of the second migration")
	}
}
