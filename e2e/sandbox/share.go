package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// mountShare makes the share a file system of its own, in memory and bounded.
// Who may not mount gets a plain folder.
func (s *Sandbox) mountShare(_ context.Context, o Options) error {
	if err := os.MkdirAll(s.Share, 0o755); err != nil {
		return fmt.Errorf("make share: %w", err)
	}
	if o.PlainShare {
		return s.own(s.Share)
	}
	err := s.Mount(o.ShareBytes, o.ShareInodes)
	if errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// Mount puts an empty file system at the share.
func (s *Sandbox) Mount(bytes, inodes int64) error {
	options := fmt.Sprintf("mode=0755,size=%d,nr_inodes=%d", bytes, inodes)
	if err := unix.Mount("cidx-sandbox", s.Share, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount share: %w", err)
	}
	s.Mounted = true
	return s.own(s.Share)
}

// Remount makes the mounted share read-only or writable, or changes its size.
func (s *Sandbox) Remount(readOnly bool, bytes int64) error {
	flags := uintptr(unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("cidx-sandbox", s.Share, "tmpfs", flags, fmt.Sprintf("size=%d", bytes)); err != nil {
		return fmt.Errorf("remount share: %w", err)
	}
	return nil
}

// Unmount takes the file system away; the folder below it appears.
func (s *Sandbox) Unmount() error {
	if !s.Mounted {
		return nil
	}
	if err := unix.Unmount(s.Share, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount share: %w", err)
	}
	s.Mounted = false
	return nil
}

// CanMount tells whether this process may mount file systems.
func CanMount() bool {
	dir, err := os.MkdirTemp("", "cidx-mount-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	if unix.Mount("cidx-sandbox", dir, "tmpfs", 0, "size=4k") != nil {
		return false
	}
	return unix.Unmount(dir, unix.MNT_DETACH) == nil
}

// Enter replaces this process by the command, inside a user namespace in which
// it may mount; it returns only when the machine does not allow that. The user
// stays the same: PostgreSQL refuses to run as root, also as root of a
// namespace.
func Enter(command []string) error {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	args := []string{unshare, "--user", "--map-current-user", "--keep-caps", "--mount", "--"}
	if out, err := exec.Command(unshare, append(args[1:], "true")...).CombinedOutput(); err != nil {
		return fmt.Errorf("enter namespace: %w: %s", err, out)
	}
	if err := unix.Exec(unshare, append(args, command...), os.Environ()); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	return nil
}
