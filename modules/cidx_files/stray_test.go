package files

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// After damage to the manifest a folder may be recorded that the record of no
// other names: what was copied of it and is gone at the source has to go, too.
func TestAStrayRecordIsFollowed(t *testing.T) {
	s := newServer(t)
	s.write(repo+"old/deep/er/x", "x")
	s.must(phaseDelta)
	s.do(os.RemoveAll(s.path(repo + "old")))
	m, err := manifest.Open(s.args(phaseDelta).State().Manifest("golden-repos"))
	s.do(err)
	for _, lost := range []string{"flask", "flask/old/deep"} {
		s.do(m.Drop(lost))
	}
	s.do(m.Close())
	s.must(phaseDelta)
	s.mustEqual()
	if _, err := os.Lstat(filepath.Join(s.share, "golden-repos/flask/old")); err == nil {
		t.Error("the folder is there still")
	}
}

// Such records may lie in each other without naming each other.
func TestStrayRecordsInEachOtherAreFollowed(t *testing.T) {
	s := newServer(t)
	s.write(repo+"old/deep/er/x", "x")
	s.must(phaseDelta)
	s.do(os.RemoveAll(s.path(repo + "old")))
	m, err := manifest.Open(s.args(phaseDelta).State().Manifest("golden-repos"))
	s.do(err)
	s.do(m.Drop("flask"))
	for _, path := range []string{"flask/old", "flask/old/deep"} { // they know of no folder in them
		d := &tree.Dir{Path: path, Self: tree.Entry{Mode: unix.S_IFDIR | 0o755}}
		s.do(m.Put(path, d.Encode(), []byte{manifest.Copied}))
	}
	s.do(m.Close())
	r := s.must(phaseDelta)
	s.mustEqual()
	if aside := r.Data["aside"].([]string); len(aside) > 0 {
		t.Errorf("moved aside: %q", aside)
	}
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a further pass says changed")
	}
}
