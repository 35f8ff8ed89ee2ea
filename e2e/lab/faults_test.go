package lab

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fault is what can happen to a migration under way, and what an operator does
// about it before the next command.
type fault struct {
	name  string
	point string // of the journal, at which it strikes; "" means before the run
	cause func(*stage, *Playing) error
	mend  func(*stage) error // nil: nothing to mend
	own   bool               // the run gets over it by itself: exit code 0
	quick string             // what of it is part of make lab, not only of make lab-full: resumed, rolledBack, both
	disk  bool               // needs a share that can be frozen
}

// title names a fault and its point.
func (f fault) title() string {
	if f.point == "" {
		return f.name
	}
	return f.name + " at " + f.point
}

// Points of the journal.
const (
	afterWarmCopy = "cidx_files.warm"
	afterStop     = "cidx_service.stopped"
	afterBackup   = "cidx_backup.taken"
	afterLoad     = "cidx_database.loaded"
	afterAliases  = "cidx_aliases.done"
	cutOverBegun  = "cidx_config.begun"
	firstLink     = "cidx_config.linked"
	afterCutOver  = "cidx_config.done"
	beforeStart   = "cidx_service.starting"
	afterStart    = "cidx_service.started"
)

func faults() []fault {
	all := []fault{
		{name: "SSH connections reset", point: afterBackup, cause: resetSSH, own: true, quick: resumed},
		{name: "network gone for 45 s", point: afterBackup, cause: networkGone, own: true},
		{name: "PostgreSQL stopped before the load", point: afterBackup, cause: stopDatabase, mend: startDatabase},
		{name: "PostgreSQL stopped during the load", point: afterBackup, cause: stopDatabaseInLoad, mend: startDatabase, quick: both},
		{name: "PostgreSQL stopped after the load", point: afterLoad, cause: stopDatabase, mend: startDatabase},
		{name: "share unmounted during the copy", point: afterLoad, cause: unmountShare, mend: mountShare, quick: rolledBack},
		{name: "share unmounted at the cut-over", point: afterAliases, cause: unmountShare, mend: mountShare},
		{name: "share full during the copy", point: afterLoad, cause: fillShare, mend: emptyShare},
		{name: "share hangs for 60 s", point: afterLoad, cause: hangShare, own: true, disk: true},
		{name: "share hangs for 60 s", point: afterAliases, cause: hangShare, own: true, disk: true},
		{name: "node's disk full during the backup", point: afterStop, cause: fillDisk, mend: emptyDisk},
		{name: "server dies at its start", cause: standin("fail-start"), mend: standinHealed},
		{name: "server never healthy", cause: standin("never-healthy"), mend: standinHealed},
		{name: "server loses repositories", cause: standin("lose-repos 2"), mend: standinHealed, quick: rolledBack},
	}
	for _, point := range []string{afterStop, afterBackup, afterLoad, afterAliases, cutOverBegun, firstLink, afterCutOver, beforeStart, afterStart} {
		all = append(all, fault{name: "node without power", point: point, cause: cutPower, mend: bootAgain, quick: map[string]string{firstLink: both}[point]})
	}
	for _, point := range []string{afterStop, afterBackup, afterLoad, afterAliases, cutOverBegun, firstLink, beforeStart} {
		all = append(all, fault{name: "helper and controller killed", point: point, cause: killBoth})
	}
	for _, point := range []string{afterWarmCopy, afterStop, afterLoad, firstLink, beforeStart} {
		all = append(all, fault{name: "controller killed", point: point, cause: killController})
	}
	return all
}

// The two commands after a fault.
const (
	resumed    = "then resumed"
	rolledBack = "then rolled back"
	both       = "both"
)

// TestFaults: after each fault the same command again ends like an undisturbed
// run, and the rollback brings the standalone server back.
func TestFaults(t *testing.T) {
	for _, f := range faults() {
		for _, way := range []string{resumed, rolledBack} {
			name := f.title() + " " + way
			t.Run(name, func(t *testing.T) {
				if f.quick != both && f.quick != way {
					longer(t)
				}
				s := scenarioOn(t, f.disk, 8*time.Minute)
				var c cell
				t.Cleanup(func() { record(t, name, c) })
				s.judge("hash", "-out", before) // the server runs, but writes nothing unasked
				s.strike(f)
				c.First = s.last.Exit
				if f.mend != nil {
					s.must(f.mend(s))
				}
				if way == resumed {
					c.Seconds = s.resume(f).Seconds()
				} else {
					c.Seconds = s.rollBack().Seconds()
				}
				c.Passed = !t.Failed()
			})
		}
	}
}

// strike runs the migration with the fault in it.
func (s *stage) strike(f fault) {
	s.t.Helper()
	if f.point == "" {
		s.must(f.cause(s, nil))
		s.play(2, "cluster-migrate.yml", "-l", "node1")
	} else {
		s.playAt(f.point, func(p *Playing) error { return f.cause(s, p) }, "cluster-migrate.yml", "-l", "node1")
	}
	switch {
	case f.own && s.last.Exit != 0:
		s.t.Fatalf("the run ended with %d; it should have got over the fault", s.last.Exit)
	case !f.own && s.last.Exit == 0 && f.mend != nil:
		s.t.Fatal("the fault did not disturb the run: the scenario proves nothing")
	case s.last.Exit > 0 && f.point != "":
		for _, way := range []string{"cluster-migrate.yml -l node1", "cluster-rollback.yml -l node1"} {
			if !strings.Contains(s.last.Transcript, way) {
				s.t.Errorf("the failed run does not tell %s", way)
			}
		}
	}
}

// resume is the same command again, and once more to see that nothing is left to do.
func (s *stage) resume(f fault) time.Duration {
	s.t.Helper()
	again := s.migrate()
	s.must(s.node.Healthy(s.ctx, 20*time.Second))
	s.judge("equal", "-running")
	s.serves(s.node)
	s.resting(0)
	if f.own {
		s.unchanged(again)
	}
	return again.Took
}

// rollBack is the rollback, and in the whole lab a migration after it.
func (s *stage) rollBack() time.Duration {
	s.t.Helper()
	back := s.rollback()
	s.must(s.node.Healthy(s.ctx, 20*time.Second))
	s.judge("same", "-before", before, "-rollback", "-except", "postgres*,share,share/*,home/*.db,home/*.db-wal,home/data")
	s.serves(s.node)
	s.resting(0)
	if whole {
		s.migrate()
		s.judge("equal", "-running")
	}
	return back.Took
}

// resting wants so many drop-ins of ours on the node.
func (s *stage) resting(want int) {
	s.t.Helper()
	left, _ := filepath.Glob(filepath.Join(s.node.Changes(), "etc/systemd/system/*.d/zz-cidx*"))
	if len(left) != want {
		s.t.Errorf("%d units are held, want %d: %s", len(left), want, left)
	}
	for _, unit := range []string{"cidx-auto-update.timer", "cidx-watchdog.timer"} {
		if word, err := s.node.Unit(s.ctx, unit); err != nil || word != "active" {
			s.t.Errorf("%s is %s, %v", unit, word, err)
		}
	}
}

// TestTwoControllersAtOnce: the second is refused and says why; the first is not
// disturbed.
func TestTwoControllersAtOnce(t *testing.T) {
	s := scenario(t, 5*time.Minute)
	other := mustController(s, "c2")
	s.playAt(afterStop, func(*Playing) error {
		second, err := other.Play(s.ctx, "cluster-migrate.yml", "-l", "node1")
		s.keep(second)
		if err == nil && second.Exit != 2 {
			err = fmt.Errorf("the second controller ended with %d, want 2", second.Exit)
		}
		return err
	}, "cluster-migrate.yml", "-l", "node1")
	if s.last.Exit != 0 {
		t.Errorf("the first controller ended with %d", s.last.Exit)
	}
	s.says(s.every[0], `(?i)another|already|holds|lease|under way`)
	s.judge("equal", "-running")
	s.serves(s.node)
}
