package lab

import (
	"testing"
	"time"
)

// Points of the journal that only a rollback has; the others are a migration's.
const (
	backTold     = "cidx_database.rolled-back"
	backKept     = "cidx_config.kept"
	backConfig   = "cidx_config.configured"
	backUnlinked = "cidx_config.unlinked"
	backSetAside = "cidx_backup.restoring"
	backRestored = "cidx_backup.restored"
	backReported = "cidx_report.rolled-back"
)

// backPoints are all points of a rollback, in order; TestMigratedRepeatedAndRolledBack compares them with a real journal.
var backPoints = []string{beforeStop, afterStop, backTold, cutOverBegun, backKept, backConfig, backUnlinked, afterCutOver, backSetAside, backRestored, beforeStart, afterStart, healthy, released, backReported}

// backFaults are what can happen to the rollback of a migration that had succeeded.
func backFaults() []fault {
	var all []fault
	for _, point := range backPoints {
		all = append(all, fault{name: "node without power", point: point, cause: cutPower, mend: bootAgain, quick: map[string]string{backUnlinked: rolledBack}[point]})
	}
	for _, point := range backPoints[:len(backPoints)-1] { // nothing follows the last
		// What the cluster has written is good to know, and no condition.
		spared := point == afterStop || point == backTold
		all = append(all, fault{name: "helper killed", point: point, cause: killHelper, spared: spared})
	}
	for _, point := range []string{afterStop, backConfig, beforeStart} {
		all = append(all, fault{name: "controller killed", point: point, cause: killController})
	}
	return all
}

// migrated is the other command after a rollback that was disturbed: forward again.
const migrated = "then migrated again"

// TestFaultsOfARollback: after each fault the rollback again brings the
// standalone server back, and so does the migration the cluster node.
func TestFaultsOfARollback(t *testing.T) {
	t.Parallel()
	for _, f := range backFaults() {
		for _, way := range []string{rolledBack, migrated} {
			name := "rollback: " + f.title() + " " + way
			t.Run(name, func(t *testing.T) {
				if f.quick != way {
					longer(t)
				}
				s := scenario(t, 8*time.Minute)
				var c cell
				t.Cleanup(func() { record(t, name, c) })
				s.judge("hash", "-out", before)
				s.migrate()
				s.strikeBack(f)
				c.First = s.last.Exit
				if way == rolledBack {
					c.Seconds = s.rollBack(f).Seconds()
				} else {
					f.mend = s.finishSwitch(f)
					if f.spared {
						s.rollback() // which tells PostgreSQL what the first one could not
					}
					c.Seconds = s.resume(f).Seconds()
				}
				c.Passed = !t.Failed()
			})
		}
	}
}

// finishSwitch is for a rollback that ended amid the switch of configuration and
// folders, which takes a millisecond: a migration is refused until the rollback
// is finished. It returns what there is to mend before the migration.
func (s *stage) finishSwitch(f fault) func(*stage) error {
	s.t.Helper()
	amid := false
	for _, e := range s.journal() {
		if e.Module == "cidx_config" {
			amid = e.point() != afterCutOver
		}
	}
	if !amid {
		return f.mend
	}
	s.mend(f, true)
	s.says(s.play(2, "cluster-migrate.yml", "-l", "node1"), "a rollback was interrupted .fix: finish it with cluster-rollback.yml")
	s.rollback()
	return nil
}

// strikeBack runs the rollback with the fault in it.
func (s *stage) strikeBack(f fault) {
	s.t.Helper()
	s.playAt(f.point, func(p *Playing) error { return f.cause(s, p) }, "cluster-rollback.yml", "-l", "node1")
	switch {
	case f.spared && s.last.Exit != 0:
		// The helper that makes the list had ended already; the next one was hit.
		s.says(s.last, `The rollback stopped at "Bring configuration and folders back"`)
	case f.spared:
		s.says(s.last, `what the cluster has written since cannot be listed`)
	case s.last.Exit == 0 && f.point != backReported:
		s.t.Fatal("the fault did not disturb the rollback: the scenario proves nothing")
	case s.last.Exit > 0:
		s.says(s.last, `cluster-rollback\.yml -l node1`)
	}
}
