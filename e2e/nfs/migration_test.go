package nfs

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// TestMigratedWithoutRoot: exports on which root is nobody, or everybody is the
// server's user: nothing of the run is root there.
func TestMigratedWithoutRoot(t *testing.T) {
	squashed := map[string]shared{
		"root is squashed, the server's user may write": {"rw,root_squash", "hard", "cidx:cidx 755"},
		"root is squashed, everybody may write":         {"rw,root_squash", "hard", "root:root 1777"},
		"every id becomes that of the server's user":    {"rw,all_squash,anonuid=1500,anongid=1500", "hard", "cidx:cidx 755"},
	}
	for _, name := range slices.Sorted(maps.Keys(squashed)) {
		t.Run(name, func(t *testing.T) {
			s := scenario(t, squashed[name])
			s.remember()
			first := s.play(0, migrate...)
			said := s.says(first, `Migration verified`)
			s.judge("equal", "-share", share, "-running")
			s.unchanged(s.play(0, migrate...))
			s.play(0, "cluster-rollback.yml", "-l", "node1")
			s.must(node1.healthy(s.ctx, time.Minute))
			s.sameAgain()
			s.record(name+": migrated, repeated, rolled back", squashed[name], first, said)
		})
	}
}

// TestMigrated: the way of an operator on a share as it should be.
func TestMigrated(t *testing.T) {
	s := scenario(t, proper)
	was := s.process()
	s.remember()
	rehearsal := s.play(0, append(slices.Clone(migrate), "--check", "--diff")...)
	s.untouched(serving)
	s.running(was)
	s.record("rehearsed", proper, rehearsal, s.says(rehearsal, `NFS mount: OK`))

	first := s.play(0, migrate...)
	s.must(node1.healthy(s.ctx, time.Minute))
	s.judge("equal", "-share", share, "-running")
	s.record("migrated", proper, first, s.says(first, `Migration verified`))

	again := s.play(0, migrate...)
	s.unchanged(again)
	s.judge("equal", "-share", share, "-running")
	s.record("the same command again", proper, again, s.says(again, `^node1 +: `))

	back := s.play(0, "cluster-rollback.yml", "-l", "node1")
	s.must(node1.healthy(s.ctx, time.Minute))
	s.sameAgain()
	s.record("rolled back", proper, back, s.says(back, `The standalone server runs with the data`))

	s.play(0, migrate...)
	s.judge("equal", "-share", share, "-running")
}
