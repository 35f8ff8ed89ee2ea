// Package destination is the folder on the share that a copy is written into.
// Paths are relative to it, and no link in them is followed. Whatever writes
// counts, so that a run can say honestly that it changed nothing.
package destination

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// Folder is such a folder, open.
type Folder struct {
	Root   string
	Share  *tree.Root // what is mounted there later is another folder
	Dir    *tree.Root // below Share
	Grain  int64      // of mtimes, in ns
	Writes atomic.Int64

	below   string       // Root's path below the share
	names   atomic.Int64 // numbers temporary names
	mu      sync.Mutex
	working bool // there is a work folder
}

// Open opens a folder on the share; with create it makes it first, with its
// parents.
func Open(mount, root string, grain int64, create bool) (*Folder, error) {
	below, err := filepath.Rel(mount, root)
	if err != nil || strings.HasPrefix(below, "..") {
		return nil, fmt.Errorf("open folder %q: not below the share %q", root, mount)
	}
	outer, err := tree.Open(mount)
	if err != nil {
		return nil, share.Fault("open folder", mount, err)
	}
	t := &Folder{Root: root, below: below, Share: outer, Grain: max(1, grain)}
	verb, made := "open folder", false
	if create {
		verb = "make folder"
		made, err = outer.MkdirAll(below)
	}
	if made {
		t.Writes.Add(1)
	}
	if err == nil {
		verb = "open folder"
		t.Dir, err = outer.Sub(below)
	}
	if err != nil {
		outer.Close()
		return nil, openFault(verb, root, err)
	}
	return t, nil
}

func openFault(verb, root string, err error) error {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return NotAFolder(root)
	}
	return share.Fault(verb, root, err)
}

// Close closes the folder; no call may be under way.
func (t *Folder) Close() {
	t.Dir.Close()
	t.Share.Close()
}

// Self is the open folder by a path that leads nowhere else, whatever happens to
// the mount.
func (t *Folder) Self() string { return fmt.Sprintf("/proc/self/fd/%d", t.Dir.FD()) }

// at calls f with the open folder that holds p, and p's name in it; both stand
// for the folder itself where p is "" or "..".
func (t *Folder) at(p string, f func(fd int, name string) error) error {
	switch p {
	case "":
		return f(t.Dir.FD(), ".")
	case "..":
		return f(t.Dir.FD(), "..")
	}
	return t.Dir.At(p, f)
}

// Lstat looks at an entry.
func (t *Folder) Lstat(p string) (e tree.Entry, err error) {
	err = t.at(p, func(fd int, name string) error {
		e, err = tree.Lstat(fd, name)
		return err
	})
	return e, err
}

// Path is for messages.
func (t *Folder) Path(p string) string { return filepath.Join(t.Root, p) }

// Mkdir makes a folder; made is false where there is one already.
func (t *Folder) Mkdir(p string, mode uint32) (made bool, err error) {
	err = t.at(p, func(fd int, name string) error { return unix.Mkdirat(fd, name, mode&0o777|0o700) })
	if err == nil {
		t.Writes.Add(1)
		return true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, share.Fault("make folder", t.Path(p), err)
	}
	e, err := t.Lstat(p)
	if err != nil {
		return false, share.Fault("look at", t.Path(p), err)
	}
	if !e.IsDir() {
		return false, ErrInTheWay
	}
	return false, nil
}

// ErrInTheWay: something else stands where a folder has to be.
var ErrInTheWay = errors.New("in the way of a folder")

// NotAFolder is the problem of a folder that is none.
func NotAFolder(path string) problem.Problem {
	fix := "move it away on the share: mv " + human.Word(path) + " " + human.Word(path+".old")
	return problem.Problem{What: "not a folder", At: path, Fix: fix}
}

// Settle gives an entry the owner, mode and mtime of want, where they differ.
func (t *Folder) Settle(p string, want *tree.Entry) error {
	have, err := t.Lstat(p)
	if err != nil {
		return share.Fault("look at", t.Path(p), err)
	}
	if have.Type() != want.Type() {
		return problem.Problem{
			What: fmt.Sprintf("has become a %s", have.Kind()), At: t.Path(p),
			Fix: "find out who writes on the share, stop it, and run again",
		}
	}
	if have.UID != want.UID || have.GID != want.GID {
		if err := t.change("change owner", p, func(fd int, name string) error {
			return unix.Fchownat(fd, name, int(want.UID), int(want.GID), unix.AT_SYMLINK_NOFOLLOW)
		}); err != nil {
			return err
		}
	}
	// A change of owner takes setuid and setgid away.
	if !want.IsSymlink() && (have.Perm() != want.Perm() || have.UID != want.UID && want.Perm() > 0o777) {
		if err := t.Chmod(p, want.Perm()); err != nil {
			return err
		}
	}
	if tree.SameTime(want.Mtime, have.Mtime, t.Grain) {
		return nil
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(want.Mtime)}
	return t.change("set time", p, func(fd int, name string) error {
		return unix.UtimesNanoAt(fd, name, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// change does something to an entry.
func (t *Folder) change(verb, p string, f func(fd int, name string) error) error {
	if err := t.at(p, f); err != nil {
		return share.Fault(verb, t.Path(p), err)
	}
	t.Writes.Add(1)
	return nil
}

// Chmod changes the mode of an entry.
func (t *Folder) Chmod(p string, perm uint32) error {
	return t.change("change mode", p, func(fd int, name string) error { return tree.Chmod(fd, name, perm) })
}

// Symlink makes a symbolic link, replacing what is there (unless a folder).
func (t *Folder) Symlink(p string, want *tree.Entry) error {
	make := func(fd int, name string) error { return unix.Symlinkat(want.Link, fd, name) }
	err := t.at(p, make)
	if errors.Is(err, unix.EEXIST) {
		temporary, errWork := t.temporary()
		if errWork != nil {
			return errWork
		}
		if err = t.at(temporary, make); err == nil {
			err = t.rename(temporary, p)
		}
	}
	if err != nil {
		return share.Fault("make link", t.Path(p), err)
	}
	t.Writes.Add(1)
	return t.Settle(p, want)
}

// rename moves an entry to another place in the folder.
func (t *Folder) rename(from, to string) error {
	return t.at(from, func(fromFD int, fromName string) error {
		return t.at(to, func(toFD int, toName string) error { return unix.Renameat(fromFD, fromName, toFD, toName) })
	})
}

// RemoveDir takes an empty folder away; it need not exist. ENOTDIR: it is none.
func (t *Folder) RemoveDir(p string) (removed bool, err error) {
	if e, err := t.Lstat(p); err == nil && !e.IsDir() {
		return false, unix.ENOTDIR
	}
	return t.unlink(p, unix.AT_REMOVEDIR)
}

// Remove takes a file or link away; it need not exist.
func (t *Folder) Remove(p string) (removed bool, err error) { return t.unlink(p, 0) }

func (t *Folder) unlink(p string, flags int) (removed bool, err error) {
	err = t.at(p, func(fd int, name string) error { return unix.Unlinkat(fd, name, flags) })
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return false, nil
	}
	if err == nil {
		t.Writes.Add(1)
		if flags&unix.AT_REMOVEDIR != 0 {
			t.Dir.Forget(p)
		}
	}
	return err == nil, err
}
