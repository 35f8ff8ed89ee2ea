package precheck

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/service"
)

// asNobody checks the configuration as the server's user, who is nobody; it
// returns the problems, one a line.
func asNobody(t *testing.T, spoil func(t *testing.T, s *stage)) []string {
	var a args
	if reply, is := hometest.Nobody(t, &a); is {
		e := &examiner{args: a, plain: true, control: service.New(a.Args, a.Common)}
		_, err := e.run(context.Background())
		if err == nil {
			reply("fine")
			return nil
		}
		reply(err.Error())
		return nil
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	s := newStage(t)
	s.args.Checks, s.args.ServiceUser = []string{"config"}, "nobody"
	must(t, os.MkdirAll(s.Path(".cluster-migrate/report"), 0o700))
	s.GiveAway(t)
	spoil(t, s)
	before := hometest.Snapshot(t, s.Dir)
	said := strings.ReplaceAll(hometest.AsNobody(t, s.args), s.Dir, "HOME")
	if diff := cmp.Diff(before, hometest.Snapshot(t, s.Dir)); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	return strings.Split(said, "\n")
}

func TestTheServersUserHasEverythingThatItNeeds(t *testing.T) {
	listed(t, asNobody(t, func(*testing.T, *stage) {}), "fine")
}

func TestWhatTheServersUserCannotReadIsToldAtOnceWithTheCommand(t *testing.T) {
	roots := []string{".encryption_key_salt", "config.json.bak.20260102_030405", "data/cidx_server.db", "data/golden-repos/aliases/web-global.json"}
	listed(t, asNobody(t, func(t *testing.T, s *stage) {
		for _, name := range roots {
			must(t, os.Lchown(s.Path(name), 0, 0))
		}
		must(t, os.Chmod(s.Path("data/mfa_key.dat"), 0))
	}),
		"HOME: nobody, the server's user, cannot read what belongs to its server (fix: let it: chown -hR nobody: "+
			"HOME/data/cidx_server.db HOME/.encryption_key_salt HOME/config.json.bak.20260102_030405 HOME/data/golden-repos/aliases/web-global.json)",
		"HOME/data/mfa_key.dat: nobody, the server's user, cannot read what belongs to its server (fix: let it: chmod u+rwX HOME/data/mfa_key.dat)")
}

func TestAFolderThatTheServersUserCannotPassIsToldInsteadOfWhatIsInIt(t *testing.T) {
	cases := map[string]struct{ name, place string }{
		"of the databases": {"data", "HOME/data"},
		"of the aliases":   {"data/golden-repos/aliases", "HOME/data/golden-repos/aliases"},
		"the home":         {"", "HOME"},
		"a file":           {"config.json", "HOME/config.json"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			listed(t, asNobody(t, func(t *testing.T, s *stage) {
				must(t, os.Lchown(s.Path(c.name), 0, 0))
				must(t, os.Chmod(s.Path(c.name), 0o600))
			}), c.place+": nobody, the server's user, cannot read what belongs to its server (fix: let it: chown -hR nobody: "+c.place+")")
		})
	}
}

func TestAStateFolderOfRootsAndLinksInItAreToldWithTheOtherProblems(t *testing.T) {
	listed(t, asNobody(t, func(t *testing.T, s *stage) {
		must(t, os.Lchown(s.Path("data/mfa_key.dat"), 0, 0))
		s.Write(t, ".cluster-migrate/lock", "{}")
		must(t, os.Symlink("/root/journal", s.Path(".cluster-migrate/journal.jsonl")))
		must(t, os.Symlink("/root/report", s.Path(".cluster-migrate/report/report.json")))
	}),
		"HOME/.cluster-migrate: links or special files in the state folder, where only files belong: "+
			"a migration follows none (fix: find out who made them, and remove them: rm HOME/.cluster-migrate/journal.jsonl HOME/.cluster-migrate/report/report.json)",
		"HOME/.cluster-migrate: HOME/.cluster-migrate/lock does not belong to nobody, the server's user: an earlier run wrote it as somebody else (fix: hand it over: chown -hR nobody: HOME/.cluster-migrate)",
		"HOME/data/mfa_key.dat: nobody, the server's user, cannot read what belongs to its server (fix: let it: chown -hR nobody: HOME/data/mfa_key.dat)")
}

func TestAStateFolderThatRootKeptForItselfIsToldOnce(t *testing.T) {
	listed(t, asNobody(t, func(t *testing.T, s *stage) {
		must(t, os.Lchown(s.Path(".cluster-migrate"), 0, 0))
	}), "HOME/.cluster-migrate: HOME/.cluster-migrate does not belong to nobody, the server's user: an earlier run wrote it as somebody else (fix: hand it over: chown -hR nobody: HOME/.cluster-migrate)")
}

// listed has exactly these problems, in this order.
func listed(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" && got != nil {
		t.Error(diff)
	}
}
