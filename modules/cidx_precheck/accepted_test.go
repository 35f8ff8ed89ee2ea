package precheck

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/pgtest"
)

// cleaned is a migrated home of which nothing but the links is left.
func cleaned(t *testing.T) *stage {
	s := newStage(t)
	migrated(t, s)
	s.node = "node-1"
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		must(t, os.RemoveAll(s.Path("data", tree)+".pre-cluster"))
	}
	return s
}

func TestAnAcceptedHomeStaysMigrated(t *testing.T) {
	s := cleaned(t)
	s.Write(t, ".cluster-migrate/accepted.json", `{"time": "2026-11-29T10:00:00Z", "by": "ann@controller"}`)
	reply, _, err := s.run(true)
	must(t, err)
	if got := reply.Data["accepted"].(map[string]any); reply.Data["migrated"] != true || got["by"] != "ann@controller" || got["time"] != "2026-11-29T10:00:00Z" {
		t.Errorf("reply %+v", reply.Data)
	}
	must(t, os.Remove(s.Path(".cluster-migrate/journal.jsonl")))
	if reply, _, err := s.run(true); err != nil || reply.Data["migrated"] != true {
		t.Errorf("without its journal: %+v, %v", reply.Data, err)
	}
	s.Write(t, "config.json", fmt.Sprintf(hometest.Standalone, s.Dir))
	if _, _, err := s.run(true); err == nil || !strings.Contains(err.Error(), "config.json is standalone, but this migration was accepted at 2026-11-29 10:00 UTC by ann@controller") {
		t.Errorf("made standalone by hand: %v", err)
	}
}

// All was removed by hand, config.json.pre-cluster as well: PostgreSQL's marker says
// whether this very server was migrated.
func TestAHomeOfWhichOnlyTheLinksAreLeftIsKnownByTheMarker(t *testing.T) {
	host, err := os.Hostname()
	must(t, err)
	for name, c := range map[string]struct {
		home, host string
		given      string
		want       bool
	}{
		"of this home":              {"", host, "NULL", true},
		"of another machine":        {"", "elsewhere", "NULL", false},
		"of another home":           {"/home/other/.cidx-server", host, "NULL", false},
		"given up by a rollback":    {"", host, "now()", false},
		"there is no marker at all": {"none", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := cleaned(t)
			must(t, os.RemoveAll(s.Path(".cluster-migrate")))
			if c.home == "" {
				c.home = s.Dir
			}
			if c.home != "none" {
				pgtest.Exec(t, s.DSN, "CREATE TABLE "+cidx.LoadMarker+" "+loaded.Columns,
					fmt.Sprintf("INSERT INTO %s VALUES ('x', '%s', '%s', now(), now(), '', '{}', %s)", cidx.LoadMarker, c.home, c.host, c.given))
			}
			reply, _, _ := s.run(true) // what else is wrong with such a home is told or not
			if reply.Data["migrated"] != c.want {
				t.Errorf("migrated is %v", reply.Data["migrated"])
			}
		})
	}
}
