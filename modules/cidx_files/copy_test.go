package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

func TestWarmThenDeltaMakesTheTreesEqual(t *testing.T) {
	s := newServer(t)
	before := snapshot(t, s.path("data"))
	r := s.must(phaseWarm)
	if !r.Changed {
		t.Error("the first pass says that it changed nothing")
	}
	s.mustEqual()
	s.must(phaseDelta)
	s.mustEqual()
	r = s.must(phaseDelta)
	if r.Changed {
		t.Errorf("a pass without work says changed: %v", r.Data)
	}
	mustMatch(t, before, snapshot(t, s.path("data")))
}

// While one process finishes the top folder, another one may just be making the
// work folder in it: the folder's time at that moment is no difference.
func TestTheTopFoldersTimeIsJudgedAtTheEndOnly(t *testing.T) {
	s := newServer(t)
	to, err := openTarget(s.share, s.share, 1, false)
	s.do(err)
	t.Cleanup(to.close)
	want, err := to.lstat("")
	s.do(err)
	p := &pass{target: to}
	at := &task{folder: &folder{}, now: &tree.Dir{Self: want}, flags: make([]byte, 1)}
	s.do(to.openWork())
	if why, err := p.compareEntry(at, -1); why != "" || err != nil {
		t.Errorf("a difference: %q, %v", why, err)
	}
	s.do(os.Chmod(s.share, 0o711))
	if why, err := p.compareEntry(at, -1); !strings.Contains(why, "mode") || err != nil {
		t.Errorf("another mode passes: %q, %v", why, err)
	}
}

// A copy that is taken back, because its source has changed, changes the time of
// its folder; while the server runs that is the next pass's work.
func TestAFolderInWhichSomethingMovedIsNoDifferenceWhileTheServerRuns(t *testing.T) {
	cases := map[string]struct {
		phase string
		moved bool
		want  string
	}{
		"something moved, while the server runs":  {phaseWarm, true, ""},
		"nothing moved, while the server runs":    {phaseWarm, false, "mtime"},
		"something moved, although it is stopped": {phaseDelta, true, "mtime"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			to, err := openTarget(s.share, s.share, 1, false)
			s.do(err)
			t.Cleanup(to.close)
			s.do(os.Mkdir(filepath.Join(s.share, "sub"), 0o755))
			want, err := to.lstat("sub")
			s.do(err)
			want.Mtime -= 1e9
			p := &pass{target: to, copier: &copier{args: args{Phase: c.phase}}}
			at := &task{folder: &folder{path: "sub"}, now: &tree.Dir{Self: want}, flags: make([]byte, 1)}
			at.moved.Store(c.moved)
			why, err := p.compareEntry(at, -1)
			if err != nil || (c.want == "") != (why == "") || !strings.Contains(why, c.want) {
				t.Errorf("a difference: %q, %v", why, err)
			}
			if at.flags[0]&manifest.Verified != 0 {
				t.Error("the folder counts as compared")
			}
		})
	}
}
