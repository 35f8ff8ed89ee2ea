package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is a file by its device and inode, whatever its path is elsewhere.
type File struct {
	Path string `json:"path"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
}

// Files finds the devices and inodes of what there is of paths.
func Files(paths []string) []File {
	var files []File
	for _, path := range paths {
		f := File{Path: path}
		if dev, ino, ok := inode(path); ok {
			f.Dev, f.Ino = dev, ino
		}
		files = append(files, f)
	}
	return files
}

// Holders finds the processes of all users that have one of files open, by its
// device and inode or by its path, or a file below one of folders open for
// writing. unseen counts the processes that we may not look into. What a process
// has open is looked at without asking a file server: a dead mount cannot block.
func Holders(files []File, folders []string) (holders []Process, unseen int, err error) {
	ids, err := All()
	if err != nil {
		return nil, 0, err
	}
	w := watch{paths: map[string]bool{}, inodes: map[[2]uint64]string{}, folders: folders}
	for _, f := range files {
		w.paths[f.Path], w.paths[RealPath(f.Path)] = true, true
		if f.Ino != 0 {
			w.inodes[[2]uint64{f.Dev, f.Ino}] = f.Path
		}
	}
	for _, pid := range ids {
		path, err := w.heldBy(pid)
		switch {
		case errors.Is(err, fs.ErrPermission):
			unseen++
		case path != "":
			holders = append(holders, Process{PID: pid, Name: nameOf(pid), Path: path})
		}
	}
	return holders, unseen, nil
}

// watch is what a process may not have open.
type watch struct {
	paths   map[string]bool
	inodes  map[[2]uint64]string // device and inode
	folders []string
}

// inode is the device and inode of a file; links are followed.
func inode(path string) (dev, ino uint64, ok bool) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE, &st)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, 0, false
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, true
}

// RealPath resolves links in the folder of path, not path itself: it may be a
// link to the share.
func RealPath(path string) string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// heldBy returns the first watched file that pid has open.
func (w watch) heldBy(pid int) (string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		fd := filepath.Join(dir, e.Name())
		path, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(path, "/") {
			continue
		}
		path = strings.TrimSuffix(path, " (deleted)")
		if w.paths[path] {
			return path, nil
		}
		if dev, ino, ok := inode(fd); ok && w.inodes[[2]uint64{dev, ino}] != "" {
			return w.inodes[[2]uint64{dev, ino}], nil
		}
		for _, folder := range w.folders {
			if strings.HasPrefix(path, folder+"/") && writes(pid, e.Name()) {
				return path, nil
			}
		}
	}
	return "", nil
}

// writes reports whether a descriptor is open for writing (proc(5): flags of
// fdinfo, octal).
func writes(pid int, fd string) bool {
	flags, err := strconv.ParseInt(valueOf(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd), "flags:"), 8, 64)
	return err == nil && flags&int64(syscall.O_ACCMODE) != syscall.O_RDONLY
}
