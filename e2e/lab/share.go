package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// shareBytes is ample room.
const shareBytes = 512 << 20

// shareKind is what the nodes' share is.
type shareKind string

const (
	inMemory shareKind = ""         // a file system in memory
	served   shareKind = "served"   // by a process, which can hang as a file server does
	squashed shareKind = "squashed" // the same as an export with root_squash
)

// remountShare puts a new, empty file system at the share, owned by the
// service's user as on a NFS server that knows it.
func (l *Lab) remountShare(ctx context.Context) error {
	l.stopServing()
	place := l.share()
	if l.kind != inMemory {
		place = l.served()
	}
	for _, dir := range []string{l.share(), l.served()} {
		_ = unix.Unmount(dir, unix.MNT_DETACH) // nothing is there the first time
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make share: %w", err)
		}
	}
	if err := unix.Mount("cidx-share", place, "tmpfs", 0, fmt.Sprintf("mode=0755,uid=1500,gid=1500,size=%d", shareBytes)); err != nil {
		return fmt.Errorf("mount share: %w", err)
	}
	if l.kind == inMemory {
		return nil
	}
	return l.serve(ctx)
}

// served is what a file server's process shows at the share.
func (l *Lab) served() string { return filepath.Join(l.Dir, "served") }

// serve starts the file server.
func (l *Lab) serve(ctx context.Context) error {
	args := []string{l.served(), l.share()}
	if l.kind == squashed {
		args = append([]string{"-squash"}, args...)
	}
	cmd := l.command(context.WithoutCancel(ctx), filepath.Join(l.bin, "cidx-share"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("serve share: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("serve share: %w", err)
	}
	l.filer = cmd
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("serve share: it says %q: %w", line, err)
	}
	return nil
}

// stopServing ends the file server; who waits for it gets an error.
func (l *Lab) stopServing() {
	if l.filer != nil {
		kill(l.filer.Process.Pid)
		_ = l.filer.Wait() // killed
		l.filer = nil
	}
}

// Hang makes every call to the share wait, as a hard mount of a dead NFS server
// does; Recover ends that. The share must be one that is served.
func (l *Lab) Hang() error { return l.signal(syscall.SIGSTOP) }

// Recover lets the calls go on.
func (l *Lab) Recover() error { return l.signal(syscall.SIGCONT) }

func (l *Lab) signal(s syscall.Signal) error {
	if l.filer == nil {
		return errors.New("signal the file server: there is none")
	}
	if err := l.filer.Process.Signal(s); err != nil {
		return fmt.Errorf("signal the file server: %w", err)
	}
	return nil
}
