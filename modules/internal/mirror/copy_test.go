package mirror

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/child"
	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/hungtest"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

func TestMain(m *testing.M) {
	child.Serve()
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, mount string) *destination.Folder {
	t.Helper()
	to, err := destination.Open(mount, mount, 1, false)
	must(t, err)
	t.Cleanup(to.Close)
	return to
}

// While one process finishes the top folder, another one may just be making the
// work folder in it: the folder's time at that moment is no difference.
func TestTheTopFoldersTimeIsJudgedAtTheEndOnly(t *testing.T) {
	mount := t.TempDir()
	to := open(t, mount)
	want, err := to.Lstat("")
	must(t, err)
	p := &pass{sides: &sides{target: to}, Mirror: &Mirror{}}
	at := &task{folder: &folder{}, now: &tree.Dir{Self: want}, flags: make([]byte, 1)}
	must(t, to.OpenWork())
	if why, err := p.compareEntry(at, -1); why != "" || err != nil {
		t.Errorf("a difference: %q, %v", why, err)
	}
	must(t, os.Chmod(mount, 0o711))
	if why, err := p.compareEntry(at, -1); !strings.Contains(why, "mode") || err != nil {
		t.Errorf("another mode passes: %q, %v", why, err)
	}
}

// A copy that is taken back, because its source has changed, changes the time of
// its folder; while the server runs that is the next pass's work.
func TestAFolderInWhichSomethingMovedIsNoDifferenceWhileTheServerRuns(t *testing.T) {
	cases := map[string]struct {
		live  bool
		moved bool
		want  string
	}{
		"something moved, while the server runs":  {true, true, ""},
		"nothing moved, while the server runs":    {true, false, "mtime"},
		"something moved, although it is stopped": {false, true, "mtime"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			mount := t.TempDir()
			to := open(t, mount)
			must(t, os.Mkdir(filepath.Join(mount, "sub"), 0o755))
			want, err := to.Lstat("sub")
			must(t, err)
			want.Mtime -= 1e9
			p := &pass{sides: &sides{target: to}, Mirror: &Mirror{Options: Options{Live: c.live}}}
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

func TestAHungShareEndsTheRun(t *testing.T) {
	mount := t.TempDir()
	hungtest.Over(t, mount)
	m := &Mirror{Options: Options{Mount: mount, Silence: time.Second, Patience: time.Second}}
	begun := time.Now()
	err := m.Run(context.Background(), func(context.Context) error {
		<-make(chan struct{}) // a call that never comes back
		return nil
	})
	if len(problem.Of(err)) != 1 || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("error: %v", err)
	}
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("took %v", took)
	}
}
