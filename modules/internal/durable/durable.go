// Package durable writes, syncs, owns and renames files of our own and of the
// server, so that a reader, also one after a power cut, sees the old state or the
// new one. It knows neither CIDX nor JSON.
package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Write replaces the file at path, or makes it, so that a reader, also
// one after a power cut, sees the old bytes or the new ones. Mode, owner and
// access lists come from like; a nil like means mode 0600 and the owner of the
// folder. A symbolic link at path is replaced, not followed. What was written is
// read back and compared.
func Write(path string, data []byte, like os.FileInfo) error {
	return write(path, data, like, time.Time{})
}

// WriteAt is Write of a file that an operator may keep elsewhere: a
// symbolic link stays one, and its target is replaced. The file appears with the
// modification time at; a zero at is the present.
func WriteAt(path string, data []byte, like os.FileInfo, at time.Time) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return write(path, data, like, at)
}

func write(path string, data []byte, like os.FileInfo, at time.Time) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".cidx-cluster.tmp")
	if err := writeTemp(temp, path, data, like, at); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, removeIfThere(temp)))
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, removeIfThere(temp)))
	}
	return SyncFolder(filepath.Dir(path))
}

// writeTemp writes data to temp, as much like the file at path as can be, syncs
// it and reads it back.
func writeTemp(temp, path string, data []byte, like os.FileInfo, at time.Time) error {
	// A leftover of a killed run; a live second writer fails at O_EXCL below.
	if err := removeIfThere(temp); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := resemble(f, path, like); err != nil {
		return err
	}
	if !at.IsZero() {
		if err := os.Chtimes(temp, at, at); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	back := make([]byte, len(data)+1)
	n, _ := f.ReadAt(back, 0)
	if !bytes.Equal(back[:n], data) {
		return errors.New("what was read back differs from what was written")
	}
	return f.Close()
}

// resemble gives f the owner, mode and access list that like and the file at
// path have.
func resemble(f *os.File, path string, like os.FileInfo) error {
	mode := fs.FileMode(0o600)
	owner := like
	if like != nil {
		mode = like.Mode().Perm() | like.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)
	} else if dir, err := os.Stat(filepath.Dir(path)); err == nil {
		owner = dir
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if owner != nil && os.Geteuid() == 0 || like != nil {
		want, ok1 := owner.Sys().(*syscall.Stat_t)
		have, ok2 := now.Sys().(*syscall.Stat_t)
		if ok1 && ok2 && (want.Uid != have.Uid || want.Gid != have.Gid) {
			if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
				return fmt.Errorf("keep the owner: %w", err)
			}
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return copyAccessList(f, path)
}

// copyAccessList copies the POSIX access list of the file at path, where there
// is one; the auto-updater may reach config.json only through it.
func copyAccessList(f *os.File, path string) error {
	const name = "system.posix_acl_access"
	size, err := unix.Lgetxattr(path, name, nil)
	if err != nil || size == 0 {
		return nil // no list, no file yet, or a file system without lists
	}
	list := make([]byte, size)
	if size, err = unix.Lgetxattr(path, name, list); err != nil {
		return fmt.Errorf("read access list: %w", err)
	}
	if err := unix.Fsetxattr(int(f.Fd()), name, list[:size], 0); err != nil {
		return fmt.Errorf("keep the access list: %w", err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
