package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
)

// A server that was joined and not migrated would start on an empty PostgreSQL
// and delete what it does not find there; one between two cut-overs finds
// neither configuration whole.
func TestNoStartBetweenStandaloneAndCluster(t *testing.T) {
	t.Parallel()
	const joined, standalone = `{"storage_mode": "postgres"}`, `{"storage_mode": "sqlite"}`
	begun := func(state string) []string { return []string{home.ConfigBegun, state} }
	done := func(state string) []string { return []string{home.ConfigDone, state} }
	for name, c := range map[string]struct {
		config  string
		journal [][]string
		refused string // "": it starts
	}{
		"joined, not migrated":                  {joined, nil, "the data was not migrated"},
		"the cut-over is not finished":          {joined, [][]string{begun(home.ToCluster)}, "the data was not migrated"},
		"rolled back, joined again":             {joined, [][]string{done(home.ToCluster), done(home.ToStandalone)}, "the data was not migrated"},
		"a rollback is not finished":            {standalone, [][]string{done(home.ToCluster), begun(home.ToStandalone)}, "a rollback was interrupted"},
		"a rollback has not reached config":     {joined, [][]string{done(home.ToCluster), begun(home.ToStandalone)}, "a rollback was interrupted"},
		"config.json is no JSON":                {"{", nil, "not valid JSON"},
		"migrated":                              {joined, [][]string{begun(home.ToCluster), done(home.ToCluster)}, ""},
		"rolled back":                           {standalone, [][]string{done(home.ToCluster), begun(home.ToStandalone), done(home.ToStandalone)}, ""},
		"rolled back by hand":                   {standalone, [][]string{done(home.ToCluster)}, ""},
		"standalone, a cut-over was only begun": {standalone, [][]string{begun(home.ToCluster)}, "the cut-over is not finished"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, control, flag := byCommands(t)
			ask(t, a, control, "stopped")
			if err := os.WriteFile(filepath.Join(a.Home, "config.json"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, e := range c.journal {
				if err := journal.Append(a.State().Journal(), home.ConfigModule, e[0], map[string]any{"state": e[1]}); err != nil {
					t.Fatal(err)
				}
			}
			a.Wanted = "started"
			_, err := run(context.Background(), a, ansible.Mode{}, control)
			if c.refused == "" {
				if err != nil || !there(flag) {
					t.Errorf("not started: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
			if there(flag) || !there(a.State().Hold()) {
				t.Errorf("the server runs: %t, it is held: %t", there(flag), there(a.State().Hold()))
			}
		})
	}
}
