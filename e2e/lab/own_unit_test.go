package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// toItsUser makes the server a unit of its user's own systemd.
func toItsUser(ctx context.Context, n *Node) error {
	script, err := units.ReadFile("units/own-unit")
	if err != nil {
		return err
	}
	if _, err := n.Run(ctx, "bash", "-c", string(script)); err != nil {
		return err
	}
	return n.Healthy(ctx, 30*time.Second)
}

// withoutRoot begins with a server that is a unit of its user's own systemd, and
// an operator who logs in as that user and may not become root.
func withoutRoot(t *testing.T, patience time.Duration) *stage {
	t.Helper()
	s := scenarioAfter(t, inMemory, toItsUser, patience)
	s.own = true
	const inventory = "cidx:\n  hosts:\n    node1:\n      ansible_user: cidx\n      ansible_become: false\n"
	own := filepath.Join(s.by.dir, "own.yml")
	s.must(os.WriteFile(own, []byte(inventory), 0o644))
	s.by.Env = append(s.by.Env, "ANSIBLE_INVENTORY="+filepath.Join(s.lab.repo, "inventory", "lab")+","+own)
	return s
}

// systemctl speaks to the systemd that runs the server: the machine's, or with
// own the one of the server's user.
func (s *stage) systemctl(words ...string) (string, error) {
	call := append(s.operator(), "systemctl")
	if s.own {
		call = append(call, "--user")
	}
	return s.node.Run(s.ctx, append(call, words...)...)
}

// operator is how a command begins that the operator gives on the node: root's,
// or with own the server's user's.
func (s *stage) operator() []string {
	if !s.own {
		return nil
	}
	return []string{"setpriv", "--reuid", "cidx", "--regid", "cidx", "--init-groups", "env", "HOME=/home/cidx", "XDG_RUNTIME_DIR=/run/user/1500"}
}

// active is systemd's word for how a unit is.
func (s *stage) active(unit string) string {
	s.t.Helper()
	word, err := s.systemctl("show", "--value", "-p", "ActiveState", unit)
	s.must(err)
	return strings.TrimSpace(word)
}

// dropIns are those of ours that stand, with either systemd.
func (s *stage) dropIns() []string {
	left, _ := filepath.Glob(filepath.Join(s.node.Changes(), "etc/systemd/system/*.d/zz-cidx*"))
	of, _ := filepath.Glob(s.node.Path("/home/cidx/.config/systemd/user/*.d/zz-cidx*"))
	return append(left, of...)
}

// TestMigratedWithoutRoot: the server is a unit of its user's own systemd, and
// nobody has root: the night as it should be, while something tries to start the
// server all the time; then the same command again, and the way back.
func TestMigratedWithoutRoot(t *testing.T) {
	s := withoutRoot(t, 6*time.Minute)
	_, err := s.systemctl("start", "stubborn")
	s.must(err)
	was := s.units()
	s.migrate("--check", "--diff")

	s.says(s.migrate(), `Migration complete!`)
	s.says(s.last, `Stopped: inactive, .*; \d+ processes of other users could not be looked into`)
	s.printedCommands()
	s.judge("equal", "-running")
	s.must(s.node.Healthy(s.ctx, 10*time.Second))
	s.serves(s.node)
	s.sameUnits(was)
	from, to := s.window()
	refused := 0
	for _, e := range s.nodeJournal("cidx-server.service") {
		if !e.at.After(from) || !e.at.Before(to) {
			continue
		}
		if strings.Contains(e.message, serverSpeaks) {
			t.Errorf("%s: %s", e.at.Format(time.StampMilli), e.message)
		}
		if strings.Contains(e.message, "Skipped due to 'exec-condition'") {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nothing tried to start the server in the window: the scenario proves nothing")
	}
	s.unchanged(s.migrate())

	s.says(s.rollback(), `Rollback complete!`)
	s.must(s.node.Healthy(s.ctx, 10*time.Second))
	s.serves(s.node)
	s.sameUnits(was)
	s.unchanged(s.rollback())
	s.noRoot()
}

// printedCommands wants the way back by hand to be one that this operator can go.
func (s *stage) printedCommands() {
	s.t.Helper()
	s.says(s.last, `(?m)^ +systemctl --user stop cidx-server &&$`)
	s.says(s.last, `(?m)^ +systemctl --user start cidx-server$`)
	if strings.Contains(s.last.Transcript, "sudo") {
		s.t.Error("the transcript names sudo")
	}
}

// noRoot wants nothing of root's below home and share, and no folder of root's
// own records.
func (s *stage) noRoot() {
	s.t.Helper()
	for _, p := range s.every {
		s.t.Logf("exit code %d after %.1f s", p.Exit, p.Took.Seconds())
	}
	out, err := s.node.Run(s.ctx, "find", Home, Share, "-mindepth", "1", "!", "-user", "cidx")
	s.must(err)
	if out != "" {
		s.t.Errorf("of other users:\n%s", out)
	}
	if _, err := s.node.Run(s.ctx, "test", "!", "-e", "/var/lib/cidx-cluster"); err != nil {
		s.t.Error("/var/lib/cidx-cluster exists")
	}
}

// TestRolledBackByHandWithoutRoot: the printed commands need no root, either.
func TestRolledBackByHandWithoutRoot(t *testing.T) {
	longer(t)
	s := withoutRoot(t, 6*time.Minute)
	s.byHand(`systemctl --user`)
	s.noRoot()
}

// TestHeldWithoutRootAfterAPowerCut: the user's systemd comes up by itself at
// boot and wants the server; the hold in the state folder keeps it down, and the
// same command goes on.
func TestHeldWithoutRootAfterAPowerCut(t *testing.T) {
	longer(t)
	s := withoutRoot(t, 6*time.Minute)
	was := s.units()
	s.playAt(afterLoad, func(p *Playing) error { return cutPower(s, p) }, "cluster-migrate.yml", "-l", "node1")
	s.must(s.node.Boot(s.ctx))
	s.must(await("the user's systemd", 20*time.Second, func() error {
		_, err := s.systemctl("is-active", "-q", "default.target")
		return err
	}))
	if word := s.active("cidx-server"); word != "inactive" {
		t.Errorf("after the boot the server is %s", word)
	}
	s.migrate()
	s.judge("equal", "-running")
	s.sameUnits(was)
	s.noRoot()
}
