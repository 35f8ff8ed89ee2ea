package files

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// cutOver renames the trees and links them to the share, as cidx_config does.
func (s *server) cutOver() {
	s.t.Helper()
	for _, name := range []string{"golden-repos", "activated-repos"} {
		link := s.path("data/" + name)
		s.do(os.Rename(link, link+home.PreCluster))
		s.do(os.Symlink(filepath.Join(s.share, name), link))
	}
}

func TestWhatWasCopiedIsProvenUnchanged(t *testing.T) {
	s := newServer(t)
	s.rest = time.Millisecond
	s.write(repo+"idx/1.json", "x")
	s.must(phaseDelta)
	before := snapshot(t, filepath.Dir(s.share))
	for _, renamed := range []bool{false, true} {
		if renamed {
			s.cutOver()
			before = snapshot(t, filepath.Dir(s.share))
		}
		r := s.must(phaseProven)
		if r.Changed || len(r.Problems) > 0 || r.Skipped != "" {
			t.Errorf("reply: %+v", r)
		}
		mustMatch(t, before, snapshot(t, filepath.Dir(s.share)))
	}
}

// Each kind of late writer is named, with the place and the way on; the next
// delta takes it along.
func TestALateWriterIsNamed(t *testing.T) {
	cases := map[string]struct {
		write func(*server)
		what  string
		at    string // below data/
	}{
		"a new file":     {func(s *server) { s.write(repo+"late.py", "x") }, "new since the copy", "golden-repos/flask/late.py"},
		"a changed file": {func(s *server) { s.write(repo+"app.py", "x") }, "changed since the copy", "golden-repos/flask/app.py"},
		"a rewrite of the same size and time": {func(s *server) {
			at := modified(t, s.path(repo+"app.py"))
			s.write(repo+"app.py", "print('HELLO')\n")
			touch(t, s.path(repo+"app.py"), at)
		}, "changed since the copy", "golden-repos/flask/app.py"},
		"a file that is gone": {func(s *server) { s.do(os.Remove(s.path(repo + "app.py"))) }, "gone since the copy", "golden-repos/flask/app.py"},
		"a new folder":        {func(s *server) { s.write(repo+"new/a/b", "x") }, "new since the copy", "golden-repos/flask/new"},
		"a folder that is gone": {func(s *server) { s.do(os.RemoveAll(s.path(repo + ".code-indexer"))) },
			"gone since the copy", "golden-repos/flask/.code-indexer"},
		"another mode": {func(s *server) { s.do(os.Chmod(s.path(repo), 0o700)) },
			"changed (mode, owner or time of the folder) since the copy", "golden-repos/flask"},
		"a file that became a link": {func(s *server) {
			s.do(os.Remove(s.path(repo + "app.py")))
			s.do(os.Symlink("x", s.path(repo+"app.py")))
		}, "changed since the copy", "golden-repos/flask/app.py"},
		"an alias": {func(s *server) { s.write("data/golden-repos/aliases/flask-global.json", `{"target_path": "/x"}`) },
			"changed since the copy", "golden-repos/aliases/flask-global.json"},
		"a new snapshot": {func(s *server) { s.write("data/golden-repos/.versioned/flask/v_2/x", "x") },
			"new since the copy", "golden-repos/.versioned/flask/v_2"},
		"a commit": {func(s *server) { s.git(repo, "commit", "-q", "--allow-empty", "-m", "late") },
			"changed since the copy", "golden-repos/flask/.git/logs/HEAD"},
		"an activation": {func(s *server) { s.write("data/activated-repos/bob/x/y", "x") }, "new since the copy", "activated-repos/bob"},
		"a tree that is gone": {func(s *server) { s.do(os.RemoveAll(s.path("data/golden-repos/.versioned"))) },
			"gone since the copy", "golden-repos/.versioned"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.rest = time.Millisecond
			s.must(phaseDelta)
			c.write(s)
			before := snapshot(t, s.share)
			_, err := s.run(s.args(phaseProven), false)
			problems := problem.Of(err)
			found := false
			for _, p := range problems {
				found = found || p.What == c.what && p.At == s.path("data/"+c.at) && p.Fix == fixAgain
			}
			if !found {
				t.Errorf("problems: %v", problems)
			}
			mustMatch(t, before, snapshot(t, s.share))
			a := s.args(phaseDelta)
			a.DeletePercent = 100
			if name == "a tree that is gone" {
				return
			}
			s.mustArgs(a)
			s.must(phaseProven)
		})
	}
}

func TestACopyThatIsNotCompleteIsNotProven(t *testing.T) {
	s := newServer(t)
	_, err := s.run(s.args(phaseProven), false)
	mustSay(t, err, "was not copied")
	s.fillForFaults()
	if !s.interrupted(s.faultArgs(phaseWarm), 2, "kill -9 $PPID") {
		t.Fatal("not interrupted")
	}
	_, err = s.run(s.args(phaseProven), false)
	var list problem.List
	if !errors.As(err, &list) || len(list) < 2 {
		t.Errorf("problems: %v", err)
	}
	s.must(phaseDelta)
	s.must(phaseProven)
}
