package nfs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ways are the two kinds of mount: hard waits for a dead file server for ever,
// soft gives up with an error.
var ways = map[string]shared{
	"hard": proper,
	"soft": {export: proper.export, mount: soft, owner: proper.owner},
}

// TestFileServerStoppedBeforeTheRun: a message after the deadline of the probe,
// not a hang; nothing has changed.
func TestFileServerStoppedBeforeTheRun(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		how := ways[name]
		t.Run(name, func(t *testing.T) {
			s := scenario(t, how)
			was := s.process()
			s.remember()
			s.stopServer()
			p := s.play(2, migrate...)
			said := s.says(p, `does not answer`)
			s.prompt(said)
			s.says(p, `This run changed nothing`)
			s.running(was)
			s.startServer()
			s.untouched(serving, probed)
			s.record(name+" mount: file server stopped before the run", how, p, said)
		})
	}
}

// prompt wants the number of seconds that a message tells to be at most ten.
func (s *stage) prompt(message string) {
	s.t.Helper()
	found := regexp.MustCompile(`(\d+) s\b`).FindStringSubmatch(message)
	if found == nil {
		s.t.Errorf("the message does not tell how long it waited: %q", message)
		return
	}
	if seconds, err := strconv.Atoi(found[1]); err != nil || seconds > 10 {
		s.t.Errorf("waited for %s s, want at most 10", found[1])
	}
}

// copied waits on node1 until so many files have arrived in the export, and
// stops the file server then.
const copied = `until [ "$(find ` + export + ` -type f | wc -l)" -ge %d ]; do sleep 0.1; done; systemctl stop nfs-server`

// loaded waits until the databases are in PostgreSQL: the delta copy comes next.
const loaded = `until grep -qs '"cidx_database".*"loaded"' ` + state + `/journal.jsonl; do sleep 0.1; done; systemctl stop nfs-server`

// TestFileServerStoppedDuringTheWarmCopy: the server still runs; the same
// command goes on where the copy was.
func TestFileServerStoppedDuringTheWarmCopy(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		how := ways[name]
		t.Run(name, func(t *testing.T) {
			s := scenario(t, how)
			was := s.process()
			p := s.struck(fmt.Sprintf(copied, 40))
			said := s.says(p, `does not answer|Input/output error|input/output error`)
			s.says(p, `This run changed nothing of the server`)
			s.running(was)
			s.startServer()
			s.play(0, migrate...)
			s.judge("equal", "-share", share, "-running")
			s.record(name+" mount: file server stopped during the warm copy, then the same command", how, p, said)
		})
	}
}

// TestFileServerStoppedDuringTheMove: the server stays down, both ways out are
// told, and both work: one needs the file server back, the other does not.
func TestFileServerStoppedDuringTheMove(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		how := ways[name]
		t.Run(name+", then the same command", func(t *testing.T) {
			s := scenario(t, how)
			p := s.struck(loaded)
			said := s.says(p, `does not answer|Input/output error|input/output error`)
			s.waysOut(p)
			s.startServer()
			s.play(0, migrate...)
			s.judge("equal", "-share", share, "-running")
			s.record(name+" mount: file server stopped after the load, then the same command", how, p, said)
		})
		t.Run(name+", then rolled back without it", func(t *testing.T) {
			s := scenario(t, how)
			s.remember()
			p := s.struck(loaded)
			s.waysOut(p)
			back := s.play(0, "cluster-rollback.yml", "-l", "node1")
			s.must(node1.healthy(s.ctx, time.Minute))
			s.startServer()
			s.sameAgain()
			s.record(name+" mount: file server stopped after the load, then rolled back without it", how, back, s.says(back, `The standalone server runs with the data`))
		})
	}
}

// TestRolledBackWhileTheFileServerIsDead: a cluster node whose share hangs is
// brought back to standalone.
func TestRolledBackWhileTheFileServerIsDead(t *testing.T) {
	s := scenario(t, proper)
	s.remember()
	s.play(0, migrate...)
	s.stopServer()
	back := s.play(0, "cluster-rollback.yml", "-l", "node1")
	s.must(node1.healthy(s.ctx, time.Minute))
	s.startServer()
	s.sameAgain()
	s.record("migrated, file server stopped, rolled back without it", proper, back, s.says(back, `The standalone server runs with the data`))
}

// struck runs the migration, and on node1 what strikes it; the run must fail.
func (s *stage) struck(script string) played {
	s.t.Helper()
	p, err := node1.play(s.ctx, migrate...)
	s.must(err)
	_, err = node1.run(s.ctx, script)
	s.must(err)
	return s.ended(p, 2)
}

// waysOut wants both commands to be told.
func (s *stage) waysOut(p played) {
	s.t.Helper()
	for _, command := range []string{"cluster-migrate.yml -l node1", "cluster-rollback.yml -l node1"} {
		if !strings.Contains(p.transcript, command) {
			s.t.Errorf("the failed run does not tell %s", command)
		}
	}
}
