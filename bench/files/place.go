package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// place is a mount point to copy to.
type place interface {
	// fresh mounts it anew, with cold caches; what was copied stays.
	fresh(ctx context.Context) error
	// empty removes everything that was copied.
	empty() error
	// operations since fresh by kind, and "total"; nil where nobody counts.
	operations() map[string]int64
	path() string
	name() string
}

// latency is the share with a delay.
type latency struct {
	program, backing, point, counters string
	delay                             time.Duration
	server                            *exec.Cmd
}

func (l *latency) path() string { return l.point }
func (l *latency) name() string { return "share" }
func (l *latency) empty() error { return removeContents(l.backing) }

func (l *latency) fresh(ctx context.Context) error {
	if err := l.stop(); err != nil {
		return err
	}
	if err := os.MkdirAll(l.point, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	server := exec.CommandContext(ctx, l.program, "-delay", l.delay.String(), "-counters", l.counters, l.backing, l.point)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start share: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start share: %w", err)
	}
	l.server = server
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("start share: it says %q: %w", line, err)
	}
	return nil
}

// stop unmounts and waits until the server has gone.
func (l *latency) stop() error {
	if l.server == nil {
		return nil
	}
	server := l.server
	l.server = nil
	if err := server.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop share: %w", err)
	}
	_ = server.Wait() // its exit code tells nothing more
	_ = syscall.Unmount(l.point, syscall.MNT_DETACH)
	return nil
}

func (l *latency) operations() map[string]int64 {
	_ = os.Remove(l.counters)
	if l.server == nil || l.server.Process.Signal(syscall.SIGUSR1) != nil {
		return nil
	}
	for range 100 {
		if raw, err := os.ReadFile(l.counters); err == nil {
			var counts map[string]int64
			if json.Unmarshal(raw, &counts) == nil {
				return counts
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// disk is a folder on a local disk, mounted on itself because cidx_files accepts
// mount points only.
type disk struct{ point string }

func (d *disk) path() string                 { return d.point }
func (d *disk) name() string                 { return "local" }
func (d *disk) empty() error                 { return removeContents(d.point) }
func (d *disk) operations() map[string]int64 { return nil }

// fresh waits until the disk has nothing left to write: nobody pays for the one
// before.
func (d *disk) fresh(context.Context) error {
	f, err := os.Open(d.point)
	if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync disk: %w", err)
	}
	return nil
}

func mountDisk(point string) (*disk, error) {
	if err := os.MkdirAll(point, 0o755); err != nil {
		return nil, fmt.Errorf("make mount point: %w", err)
	}
	if err := syscall.Mount(point, point, "", syscall.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("mount %s on itself: %w", point, err)
	}
	return &disk{point}, nil
}

func removeContents(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("empty folder: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("empty folder: %w", err)
		}
	}
	return nil
}
