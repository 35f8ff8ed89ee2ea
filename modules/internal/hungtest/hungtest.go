// Package hungtest gives tests a share whose file server never answers: FUSE
// without a daemon. Whatever looks at it waits, as on a hung NFS mount.
package hungtest

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Share mounts one in a folder of its own until the test ends.
func Share(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	Over(t, dir)
	return dir
}

// Over mounts one over dir until the test ends. The test is skipped where that
// cannot be done.
func Over(t testing.TB, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no /dev/fuse: %v", err)
	}
	if err := unix.Mount("cidx-hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		t.Skipf("cannot mount FUSE here: %v", err)
	}
	t.Cleanup(func() {
		unix.Close(fd)
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
}
