package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// shareBytes is ample room.
const shareBytes = 512 << 20

// remountShare puts a new, empty file system at the share, owned by the
// service's user as on a NFS server that knows it.
func (l *Lab) remountShare(ctx context.Context) error {
	if err := os.MkdirAll(l.share(), 0o755); err != nil {
		return fmt.Errorf("make share: %w", err)
	}
	_ = unix.Unmount(l.share(), unix.MNT_DETACH) // not there the first time
	if l.onDisk {
		return l.mountDisk(ctx)
	}
	if err := unix.Mount("cidx-share", l.share(), "tmpfs", 0, fmt.Sprintf("mode=0755,uid=1500,gid=1500,size=%d", shareBytes)); err != nil {
		return fmt.Errorf("mount share: %w", err)
	}
	return nil
}

func (l *Lab) mountDisk(ctx context.Context) error {
	disk := filepath.Join(l.Dir, "share.img")
	if err := errors.Join(os.RemoveAll(disk), os.WriteFile(disk, nil, 0o600), os.Truncate(disk, shareBytes)); err != nil {
		return fmt.Errorf("make share: %w", err)
	}
	for _, words := range [][]string{{"mkfs.ext4", "-q", "-m", "0", disk}, {"mount", "-o", "loop", disk, l.share()}, {"rmdir", filepath.Join(l.share(), "lost+found")}} {
		if _, err := said(exec.CommandContext(ctx, words[0], words[1:]...)); err != nil {
			return err
		}
	}
	if err := os.Chown(l.share(), 1500, 1500); err != nil {
		return fmt.Errorf("make share: %w", err)
	}
	return nil
}

// Freeze makes every write to the share wait, as a hard mount of a dead NFS
// server does; Thaw ends that.
func (l *Lab) Freeze(ctx context.Context) error {
	_, err := said(exec.CommandContext(ctx, "fsfreeze", "--freeze", l.share()))
	return err
}

// Thaw lets the writes go on.
func (l *Lab) Thaw(ctx context.Context) error {
	_, err := said(exec.CommandContext(ctx, "fsfreeze", "--unfreeze", l.share()))
	return err
}
