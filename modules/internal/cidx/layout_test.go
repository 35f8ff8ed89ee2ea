package cidx

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hungMount is a mount whose file server never answers.
func hungMount(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no /dev/fuse: %v", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("cidx-hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		t.Skipf("cannot mount FUSE here: %v", err)
	}
	t.Cleanup(func() {
		unix.Close(fd)
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
	return dir
}

// A rollback must find the layout while the share is away.
func TestDetectDoesNotWaitForTheShareAfterTheCutOver(t *testing.T) {
	for kind, place := range map[string]string{"real": "data/golden-repos", "assumed": "golden-repos"} {
		t.Run(kind, func(t *testing.T) {
			share, home := hungMount(t), t.TempDir()
			link := filepath.Join(home, place)
			if err := os.MkdirAll(filepath.Join(link+PreCluster, "aliases"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(link+PreCluster, "aliases", "a-global.json"), []byte(`{"target_path":"/x"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(share, "golden-repos"), link); err != nil {
				t.Fatal(err)
			}
			found := make(chan Layout, 1)
			go func() {
				l, err := Detect(home, share)
				if err != nil {
					t.Error(err)
				}
				found <- l
			}()
			select {
			case l := <-found:
				if tree, _ := l.Tree(GoldenRepos); l.Kind != kind || tree.Local != link+PreCluster {
					t.Errorf("found %+v", l)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("it waits for the share")
			}
		})
	}
}
