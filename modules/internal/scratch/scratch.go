// Package scratch makes private folders for what is temporary, and clears away
// what killed processes have left in theirs.
package scratch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/problem"
)

// HelperFolder names the environment variable that says where the helper's folder is.
const HelperFolder = "CIDX_HELPER_DIR"

// Folder is a private folder. The kernel knows by a lock whether its process lives.
type Folder struct {
	Path string // without links; "" for none
	lock *os.File
}

// New makes a folder (0700) in the helper's folder, else in the system's temporary
// one, and removes those of the same kind whose process is gone. The error is a
// problem.Problem.
func New(kind string) (Folder, error) {
	base := os.TempDir()
	if own := os.Getenv(HelperFolder); own != "" {
		base = filepath.Join(own, "tmp")
	}
	f, err := make0700(base, kind+"-")
	if err != nil {
		err = problem.Problem{What: err.Error(), At: base, Fix: "free space in the folder for temporary files (cidx_helper_dir)"}
	}
	return f, err
}

func make0700(base, prefix string) (f Folder, err error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return f, fmt.Errorf("make folder for temporary files: %w", err)
	}
	if base, err = filepath.EvalSymlinks(base); err != nil {
		return f, err
	}
	entries, _ := os.ReadDir(base) // what stays is tried again the next time
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			sweep(filepath.Join(base, e.Name()))
		}
	}
	if f.Path, err = os.MkdirTemp(base, prefix); err != nil {
		return f, err
	}
	f.lock, err = lock(f.Path, os.O_CREATE) // without it the folder is swept
	return f, err
}

// lock takes the lock of a folder. It is on a file in it that is open for writing,
// as those of jobs are: NFS refuses an exclusive one on anything else.
func lock(folder string, create int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, ".in-use"), create|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fresh is how long a folder may be without the lock that its process is about to take.
const fresh = time.Minute

// sweep removes a folder of ours that no process holds.
func sweep(path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || time.Since(info.ModTime()) < fresh {
		return
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Geteuid() {
		return
	}
	held, err := lock(path, 0)
	if err == nil {
		held.Close() // first: NFS keeps a name for what is removed while it is open
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		_ = os.RemoveAll(path)
	}
}

// Remove gives the room back.
func (f Folder) Remove() {
	if f.Path != "" {
		f.lock.Close() // first, as in sweep
		_ = os.RemoveAll(f.Path)
	}
}
