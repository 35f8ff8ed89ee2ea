package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// fault is what can happen to a migration under way, and what an operator does
// about it before the next command.
type fault struct {
	name   string
	point  string // of the journal, at which it strikes; "" means before the run
	cause  func(*stage, *Playing) error
	mend   func(*stage) error // nil: nothing to mend
	own    bool               // the run gets over it by itself: exit code 0
	free   bool               // the run may get over it or stop
	spared bool               // a rollback goes on without the step that it strikes: exit code 0
	late   bool               // it is mended after the rollback, which must do without
	quick  string             // what of it is part of make lab, not only of make lab-full: resumed or rolledBack
	again  bool               // its rollback is followed by a migration, in the whole lab; set by faults
	share  shareKind
	// touched are globs of what it has changed in the home itself, separated by
	// commas: a rollback does not undo that.
	touched string
}

// title names a fault and its point.
func (f fault) title() string {
	if f.point == "" {
		return f.name
	}
	return f.name + " at " + f.point
}

// Points of the journal, in the order of a migration.
const (
	afterWarmCopy = "cidx_files.warm"
	afterWarmLoad = "cidx_database.warm"
	beforeStop    = "cidx_service.stopping"
	afterStop     = "cidx_service.stopped"
	afterBackup   = "cidx_backup.taken"
	afterLoad     = "cidx_database.loaded"
	afterAliases  = "cidx_aliases.done"
	cutOverBegun  = "cidx_config.begun"
	firstLink     = "cidx_config.linked"
	afterCutOver  = "cidx_config.done"
	beforeStart   = "cidx_service.starting"
	afterStart    = "cidx_service.started"
	healthy       = "cidx_verify.healthy"
	released      = "cidx_service.released"
	reported      = "cidx_report.migrated"
)

// points are all of them; TestMigratedRepeatedAndRolledBack compares them with a real journal.
var points = []string{afterWarmCopy, afterWarmLoad, beforeStop, afterStop, afterBackup, afterLoad, afterAliases, cutOverBegun, firstLink, afterCutOver, beforeStart, afterStart, healthy, released, reported}

// held are those at which nothing can start the server. Before and after, a
// rollback has to stop it first, and systemd needs mounts that answer for that.
var held = points[slices.Index(points, afterStop):slices.Index(points, beforeStart)]

func faults() []fault {
	all := []fault{
		{name: "SSH connections reset", point: afterBackup, cause: resetSSH, own: true, quick: resumed},
		{name: "network gone for 45 s", point: afterBackup, cause: networkGone, own: true},
		{name: "second controller started", point: afterStop, cause: secondController, own: true, quick: resumed},
		{name: "PostgreSQL stopped before the load", point: afterBackup, cause: stopDatabase, mend: startDatabase, late: true},
		{name: "PostgreSQL stopped during the load", point: afterBackup, cause: stopDatabaseInLoad, mend: startDatabase, late: true},
		{name: "PostgreSQL stopped after the load", point: afterLoad, cause: stopDatabase, mend: startDatabase, late: true},
		{name: "share unmounted during the copy", point: afterLoad, cause: unmountShare, mend: mountShare, quick: rolledBack, late: true},
		{name: "share unmounted at the cut-over", point: afterAliases, cause: unmountShare, mend: mountShare, late: true},
		{name: "share full during the copy", point: afterLoad, cause: fillShare, mend: emptyShare, late: true},
	}
	for _, point := range []string{"", afterWarmCopy, afterLoad, afterAliases, firstLink, beforeStart} {
		all = append(all, fault{name: "share hangs", point: point, cause: hangShare, mend: recoverShare, late: slices.Contains(held, point), share: served, quick: map[string]string{afterAliases: resumed}[point]})
	}
	all = append(all,
		fault{name: "node's disk full during the backup", point: afterStop, cause: fillDisk, mend: emptyDisk},
		fault{name: "server dies at its start", cause: standin("fail-start"), mend: standinHealed},
		fault{name: "server never healthy", cause: standin("never-healthy"), mend: standinHealed},
		fault{name: "server loses repositories", cause: standin("lose-repos 2"), mend: standinHealed},
	)
	for _, point := range points {
		mend := bootAgain
		if point == afterWarmCopy || point == afterWarmLoad {
			mend = bootAgainAndStop
		}
		all = append(all, fault{name: "node without power", point: point, cause: cutPower, mend: mend, quick: map[string]string{firstLink: resumed}[point]})
	}
	for _, point := range points[:len(points)-1] { // nothing follows the last
		all = append(all, fault{name: "helper killed", point: point, cause: killHelper})
	}
	for _, point := range []string{afterWarmCopy, afterStop, afterLoad, firstLink, beforeStart} {
		all = append(all, fault{name: "controller killed", point: point, cause: killController})
	}
	all = append(all, otherFaults()...)
	known := map[string]bool{}
	for i, f := range all {
		all[i].again, known[f.name] = !known[f.name], true
	}
	return all
}

// The two commands after a fault.
const (
	resumed    = "then resumed"
	rolledBack = "then rolled back"
)

// TestFaults: after each fault the same command again ends like an undisturbed
// run, and the rollback brings the standalone server back.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		for _, way := range []string{resumed, rolledBack} {
			name := f.title() + " " + way
			t.Run(name, func(t *testing.T) {
				if f.quick != way {
					longer(t)
				}
				s := scenarioOn(t, f.share, 8*time.Minute)
				var c cell
				t.Cleanup(func() { record(t, name, c) })
				s.judge("hash", "-out", before) // the server runs, but writes nothing unasked
				s.strike(f)
				c.First = s.last.Exit
				if way == resumed {
					c.Seconds = s.resume(f).Seconds()
				} else {
					c.Seconds = s.rollBack(f).Seconds()
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
		p, err := s.by.Play(s.ctx, "cluster-migrate.yml", "-l", "node1")
		s.must(err)
		s.keep(p)
	} else {
		s.playAt(f.point, func(p *Playing) error { return f.cause(s, p) }, "cluster-migrate.yml", "-l", "node1")
	}
	switch {
	case f.own && s.last.Exit != 0:
		s.t.Fatalf("the run ended with %d; it should have got over the fault", s.last.Exit)
	case !f.own && !f.free && s.last.Exit == 0 && f.point != reported:
		s.t.Fatal("the fault did not disturb the run: the scenario proves nothing")
	case s.last.Exit > 0:
		s.tellsWaysOut()
	}
}

// tellsWaysOut wants the commands to go on with in the output of a failed run.
func (s *stage) tellsWaysOut() {
	s.t.Helper()
	ways := []string{"cluster-migrate.yml -l node1"}
	if slices.ContainsFunc(s.journal(), func(e event) bool { return e.point() == beforeStop }) {
		ways = append(ways, "cluster-rollback.yml -l node1")
	}
	for _, way := range ways {
		if !strings.Contains(s.last.Transcript, way) {
			s.t.Errorf("the failed run does not tell %s", way)
		}
	}
}

// resume is the same command again, and once more to see that nothing is left to do.
func (s *stage) resume(f fault) time.Duration {
	s.t.Helper()
	s.mend(f, true)
	again := s.migrate()
	s.must(s.node.Healthy(s.ctx, 20*time.Second))
	s.judge("equal", "-running", "-except", "share/.cidx-aside")
	s.serves(s.node)
	s.resting(0)
	if f.own {
		s.unchanged(again)
	}
	return again.Took
}

// mend does what an operator does about the fault, when it is time.
func (s *stage) mend(f fault, now bool) {
	s.t.Helper()
	if now && f.mend != nil {
		s.must(f.mend(s))
	}
}

// rollBack is the rollback, and once per kind of fault a migration after it.
func (s *stage) rollBack(f fault) time.Duration {
	s.t.Helper()
	s.mend(f, !f.late)
	back := s.rollback()
	s.mend(f, f.late)
	s.must(s.node.Healthy(s.ctx, 20*time.Second))
	s.judge("same", "-before", before, "-rollback", "-except", strings.TrimSuffix("postgres*,share,share/*,home/*.db,home/*.db-wal,home/data,"+f.touched, ","))
	s.serves(s.node)
	s.resting(0)
	if whole && f.again {
		if f.late {
			s.rollback() // which tells PostgreSQL what the first one could not
		}
		s.migrate()
		s.judge("equal", "-running", "-except", "share/.cidx-aside")
	}
	return back.Took
}

// resting wants so many drop-ins of ours on the node.
func (s *stage) resting(want int) {
	s.t.Helper()
	left := s.dropIns()
	if len(left) != want {
		s.t.Errorf("%d units are held, want %d: %s", len(left), want, left)
	}
	for _, unit := range []string{"cidx-auto-update.timer", "cidx-watchdog.timer"} {
		if word := s.active(unit); word != "active" {
			s.t.Errorf("%s is %s", unit, word)
		}
	}
}
