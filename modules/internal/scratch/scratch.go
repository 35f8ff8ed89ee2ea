// Package scratch makes private folders for what is temporary, and clears away
// what killed processes have left in theirs.
package scratch

import (
	"fmt"
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
		return f, problem.Problem{What: err.Error(), At: base, Fix: "free space in the folder for temporary files (cidx_helper_dir)"}
	}
	return f, nil
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
	if f.lock, err = os.Open(f.Path); err == nil {
		err = unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	return f, err
}

// fresh is how long a folder may be without the lock that its process is about to take.
const fresh = time.Minute

// sweep removes a folder of ours that no process holds.
func sweep(path string) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil || time.Since(info.ModTime()) < fresh {
		return
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Geteuid() {
		return
	}
	if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.RemoveAll(path)
	}
}

// Remove gives the room back.
func (f Folder) Remove() {
	if f.Path != "" {
		_ = os.RemoveAll(f.Path) // what stays is swept
		f.lock.Close()
	}
}
