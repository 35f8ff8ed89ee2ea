package seed

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// writeFile writes a new file with exactly this mode, whatever the umask.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return fmt.Errorf("copy file: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	return nil
}

// copyTree copies as CIDX makes snapshots.
func copyTree(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--reflink=auto", "-a", "--", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("run cp: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// settle gives every file, link and folder below root outside .git a time of its own: most some
// weeks old with a sub-second part, some from last century, some on a whole second.
func settle(root string, random uint64) error {
	var folders []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			folders = append(folders, path)
			return nil
		}
		return setTime(path, timeOf(strings.TrimPrefix(path, root), random))
	})
	if err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if err := setTime(folders[i], timeOf(strings.TrimPrefix(folders[i], root), random)); err != nil {
			return fmt.Errorf("set times: %w", err)
		}
	}
	return nil
}

func timeOf(name string, random uint64) time.Time {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s", random, name)
	sum := h.Sum64()
	t := epoch.Add(-time.Duration(sum % uint64(60*24*time.Hour)))
	switch sum % 11 {
	case 0:
		return time.Date(1999, 12, 31, 23, 59, 58, int(sum%1e9), time.UTC)
	case 1:
		return t.Truncate(time.Second)
	}
	return t
}

func setTime(path string, t time.Time) error {
	at := unix.NsecToTimespec(t.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
