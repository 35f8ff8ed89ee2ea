package reach

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	dir, err := filepath.EvalSymlinks(dir)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a/file"), nil, 0o600))
	must(t, os.Symlink("a/b", filepath.Join(dir, "link")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	me := Identity{UID: os.Geteuid(), GID: os.Getegid()}
	paths := []string{dir + "/link", dir + "/a/file", dir + "/dangling", dir + "/a/file/below"}
	answers, err := Resolve(context.Background(), me, 20*time.Second, paths)
	must(t, err)
	if len(answers) != len(paths) {
		t.Fatalf("answers %+v", answers)
	}
	if a := answers[0]; a.Real != dir+"/a/b" || !a.Folder || a.Fault != "" {
		t.Errorf("link: %+v", a)
	}
	if a := answers[1]; a.Real != dir+"/a/file" || a.Folder {
		t.Errorf("file: %+v", a)
	}
	if a := answers[2]; a.Real != "" || !a.Missing {
		t.Errorf("dangling: %+v", a)
	}
	if a := answers[3]; a.Real != "" || a.Missing || a.Fault == "" {
		t.Errorf("below a file: %+v", a)
	}
}

func TestResolveGivesUpOnWhatHangs(t *testing.T) {
	dir := t.TempDir()
	me := Identity{UID: os.Geteuid(), GID: os.Getegid()}
	// A hung share cannot be had here; a child that is not given its deadline's
	// time to answer is the same to the parent.
	start := time.Now()
	_, err := Resolve(context.Background(), me, time.Nanosecond, []string{dir})
	if err == nil || !strings.Contains(err.Error(), "no answer within") || time.Since(start) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}

func TestServiceIsTheOwnerOfTheHome(t *testing.T) {
	dir := t.TempDir()
	i, err := Service("", dir)
	must(t, err)
	if i.UID != os.Geteuid() {
		t.Errorf("got %+v", i)
	}
	if os.Geteuid() == 0 {
		must(t, os.Chown(dir, 54321, 54322))
		if i, err = Service("", dir); err != nil || i.UID != 54321 || i.GID != 54322 || i.String() != "54321" {
			t.Errorf("an owner without a name: %+v, %v", i, err)
		}
	}
	if _, err := Service("no-such-user-here", dir); err == nil {
		t.Error("found a user that does not exist")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
