package files

import (
	"os"
	"strings"
	"testing"

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
	to, err := openTarget(s.share, 1, false)
	s.do(err)
	t.Cleanup(to.close)
	want, err := tree.Lstat(to.fd, ".")
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
