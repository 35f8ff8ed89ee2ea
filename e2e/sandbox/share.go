package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

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

// Export replaces the share by an empty one as a file server gives it, through
// cidx-share with these flags (-squash, -delay 500us). The files lie in Backing.
func (s *Sandbox) Export(ctx context.Context, flags ...string) error {
	if err := s.Unmount(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Backing(), 0o755); err != nil {
		return fmt.Errorf("make backing folder: %w", err)
	}
	if err := s.own(s.Backing()); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Share, 0o755); err != nil {
		return fmt.Errorf("make share: %w", err)
	}
	// It outlives this call, and ends with the sandbox (processes).
	server := exec.Command(filepath.Join(s.Bin, "cidx-share"), append(flags, s.Backing(), s.Share)...)
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := server.StdoutPipe()
	if err != nil {
		return fmt.Errorf("export share: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("export share: %w", err)
	}
	ended := context.AfterFunc(ctx, func() { _ = server.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	ended()
	go server.Wait() //nolint:errcheck // reaps; whoever used the share knows more
	if err != nil {
		return fmt.Errorf("export share: no answer: %q: %w", line, err)
	}
	s.Mounted = true
	return s.save()
}

// Signal sends one to what serves an exported share: stopped, it leaves everybody
// who asks waiting, as a hung file server does.
func (s *Sandbox) Signal(sig syscall.Signal) error {
	all, err := s.processes()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.runs("cidx-share") {
			return syscall.Kill(p.Pid, sig)
		}
	}
	return errors.New("signal the share: nobody serves it; export it first")
}

// Backing is the folder behind an exported share.
func (s *Sandbox) Backing() string { return filepath.Join(s.Dir, "backing") }

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
