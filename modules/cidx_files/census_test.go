package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckModeWritesNothing(t *testing.T) {
	s := newServer(t)
	before, share := snapshot(t, s.home), snapshot(t, s.share)
	r, err := s.run(s.args(phaseWarm), true)
	s.do(err)
	mustMatch(t, before, snapshot(t, s.home))
	mustMatch(t, share, snapshot(t, s.share))
	if !r.Changed {
		t.Error("the rehearsal says that there is nothing to do")
	}
	all := r.Data["census"].(*census)
	if all.Repositories != 3 || all.Files == 0 || all.Bytes == 0 {
		t.Errorf("census: %+v", all)
	}
	done := s.must(phaseDelta)
	copied := int64(0)
	for _, p := range done.Data["parts"].(map[string]any) {
		copied += p.(map[string]any)["copied_files"].(int64)
	}
	if want := r.Data["forecast"].(map[string]any)["copy_files"].(int64); want != copied {
		t.Errorf("forecast %d files, copied %d", want, copied)
	}
	if r, err = s.run(s.args(phaseDelta), true); err != nil || r.Changed {
		t.Errorf("a rehearsal after the copy: changed %v, error %v", r.Changed, err)
	}
}

func TestExtendedAttributesAreTold(t *testing.T) {
	s := newServer(t)
	if err := unix.Lsetxattr(s.path(repo+"app.py"), "user.note", []byte("x"), 0); err != nil {
		t.Skipf("no extended attributes here: %v", err)
	}
	r, err := s.run(s.args(phaseDelta), true)
	s.do(err)
	if all := r.Data["census"].(*census); all.Extended != 1 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "app.py") {
		t.Errorf("%d told, warnings %q", all.Extended, r.Warnings)
	}
}

func TestTheCensusCounts(t *testing.T) {
	s := newServer(t)
	s.do(os.Symlink("/srv/x", s.path(repo+"absolute")))
	s.do(os.Symlink("../../../x", s.path(repo+"leaving")))
	s.do(os.Symlink("nowhere", s.path(repo+"dangling")))
	s.do(os.Link(s.path(repo+"app.py"), s.path(repo+"again.py")))
	s.write(repo+"sub/trigrams.db", "x")
	s.write(repo+"sub/line\nbreak", "x")
	s.do(os.Truncate(s.path(repo+"sub/trigrams.db"), 10<<20))
	r, err := s.run(s.args(phaseDelta), true)
	s.do(err)
	c := r.Data["census"].(*census)
	if c.Symlinks != 3 || c.Absolute != 1 || c.Leaving != 1 || c.Dangling != 1 || c.HardLinks != 1 || c.SQLite != 1 || c.Sparse != 1 || c.BadNames["newline"] != 1 {
		t.Errorf("census: %+v", c)
	}
	if f := r.Data["forecast"].(map[string]any); f["bytes"].(int64) < 10<<20 || f["inodes"].(int64) < c.Files {
		t.Errorf("forecast: %v", f)
	}
	s.must(phaseDelta)
	s.mustEqual()
	var st unix.Stat_t
	s.do(unix.Lstat(filepath.Join(s.share, "golden-repos/flask/sub/trigrams.db"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes on the share", st.Blocks*512)
	}
}
