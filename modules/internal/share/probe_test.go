package share

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/hungtest"
	"cidx-cluster/modules/internal/problem"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
}

// mountTmpfs mounts a tmpfs for the test's duration.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("cidx-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func mustProblem(t *testing.T, err error, text string) {
	t.Helper()
	var list problem.List
	if !errors.As(err, &list) {
		t.Fatalf("got error %v, want problems with %q", err, text)
	}
	for _, p := range list {
		if p.Fix == "" || p.At == "" {
			t.Errorf("problem without place or remedy: %v", p)
		}
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("problems %v do not say %q", err, text)
	}
}

func TestProbeTellsAWritableMount(t *testing.T) {
	dir := mountTmpfs(t, "size=1m,nr_inodes=100")
	info, err := Probe(context.Background(), dir, Deadline, Writing())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mount.Type != "tmpfs" || info.BytesTotal != 1<<20 || info.InodesTotal != 100 || info.InodesFree == 0 {
		t.Errorf("capacity: %+v", info)
	}
	if !info.HardLinks || info.Granularity != 1 || info.Caseless {
		t.Errorf("peculiarities: %+v", info)
	}
	for _, name := range []string{"create", "chmod", "chown", "rename", "symlink", "mtime"} {
		if !info.OK(name) {
			t.Errorf("%s not proven: %+v", name, info.Results)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("probes left %v behind", left)
	}
}

func TestProbeWithoutWritingWritesNothing(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	before, _ := os.Stat(dir)
	info, err := Probe(context.Background(), dir, Deadline)
	if err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(dir)
	if !before.ModTime().Equal(after.ModTime()) {
		t.Error("the folder's mtime has moved")
	}
	if len(info.Untested) == 0 {
		t.Error("the reply does not say what is left for the real run")
	}
}

func TestProbeFollowsALinkToTheMount(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	link := filepath.Join(t.TempDir(), "shared")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if info, err := Probe(context.Background(), link, Deadline); err != nil || !info.Mounted {
		t.Errorf("mounted %v, error %v", info.Mounted, err)
	}
}

func TestProbeRefuses(t *testing.T) {
	cases := map[string]struct {
		share func(*testing.T) string
		want  string
	}{
		"a plain folder":     {func(t *testing.T) string { return t.TempDir() }, "not a mount point"},
		"a missing folder":   {func(t *testing.T) string { return filepath.Join(t.TempDir(), "gone") }, "not a mount point"},
		"a read-only mount":  {func(t *testing.T) string { return mountTmpfs(t, "size=1m,ro") }, "read-only"},
		"a mount that hangs": {func(t *testing.T) string { return hungtest.Share(t) }, "does not answer"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := c.share(t)
			start := time.Now()
			_, err := Probe(context.Background(), dir, 2*time.Second, Writing())
			mustProblem(t, err, c.want)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v with a deadline of 2 s", took)
			}
		})
	}
}

func TestAlive(t *testing.T) {
	if err := Alive(context.Background(), t.TempDir(), Deadline); err != nil {
		t.Errorf("a folder is alive: %v", err)
	}
	err := Alive(context.Background(), hungtest.Share(t), time.Second)
	mustProblem(t, err, "does not answer")
}

func TestAnInterruptedProbeSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Probe(ctx, hungtest.Share(t), Deadline)
	mustProblem(t, err, "interrupted")
}

// A share without room is told as that, not as a lack of rights, and what the
// probe could make is gone again.
func TestAFullShareIsToldAsFull(t *testing.T) {
	for name, options := range map[string]string{"no inodes": "size=1m,nr_inodes=1", "no bytes": "size=4k"} {
		t.Run(name, func(t *testing.T) {
			dir := mountTmpfs(t, options)
			_ = os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 4096), 0o600) // as much as there is
			_, err := Probe(context.Background(), dir, Deadline, Writing())
			mustProblem(t, err, "the share is full")
			for _, p := range problem.Of(err) {
				if strings.Contains(p.Fix, "squash") {
					t.Errorf("problem %v", p)
				}
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".cidx-probe-*")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// OK reports whether every probe of that name succeeded, and at least one ran.
func (i Info) OK(name string) bool {
	ran := false
	for _, r := range i.Results {
		if r.Name == name {
			ran = true
			if !r.OK {
				return false
			}
		}
	}
	return ran
}
