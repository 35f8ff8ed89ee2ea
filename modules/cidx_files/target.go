package files

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
	"cidx-cluster/modules/internal/tree"
)

// target is a part's folder on the share. Paths are relative to it, and no link
// in them is followed. Whatever writes counts in writes, so that a run can say
// honestly that it changed nothing.
type target struct {
	root        string
	below       string     // root's path below the share
	share       *tree.Root // what is mounted there later is another folder
	dir         *tree.Root // below share
	granularity int64      // of mtimes, in ns
	writes      atomic.Int64
	names       atomic.Int64 // numbers temporary names
	mu          sync.Mutex
	working     bool // there is a work folder
}

// openTarget opens a part's folder on the share; with create it makes it first,
// with its parents.
func openTarget(mount, root string, granularity int64, create bool) (*target, error) {
	below, err := filepath.Rel(mount, root)
	if err != nil || strings.HasPrefix(below, "..") {
		return nil, fmt.Errorf("open folder %q: not below the share %q", root, mount)
	}
	share, err := tree.Open(mount)
	if err != nil {
		return nil, fault("open folder", mount, err)
	}
	t := &target{root: root, below: below, share: share, granularity: max(1, granularity)}
	if create {
		made, err := share.MkdirAll(below)
		if err != nil {
			share.Close()
			return nil, openFault("make folder", root, err)
		}
		if made {
			t.writes.Add(1)
		}
	}
	if t.dir, err = share.Sub(below); err != nil {
		share.Close()
		return nil, openFault("open folder", root, err)
	}
	return t, nil
}

func openFault(verb, root string, err error) error {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return notAFolder(root)
	}
	return fault(verb, root, err)
}

func (t *target) close() {
	t.dir.Close()
	t.share.Close()
}

// self is the open folder by a path that leads nowhere else, whatever happens to
// the mount.
func (t *target) self() string { return fmt.Sprintf("/proc/self/fd/%d", t.dir.FD()) }

// at calls f with the open folder that holds p, and p's name in it; both stand
// for the target itself where p is "" or "..".
func (t *target) at(p string, f func(fd int, name string) error) error {
	switch p {
	case "":
		return f(t.dir.FD(), ".")
	case "..":
		return f(t.dir.FD(), "..")
	}
	return t.dir.At(p, func(fd int, name string) error { return again(func() error { return f(fd, name) }) })
}

// lstat looks at an entry.
func (t *target) lstat(p string) (e tree.Entry, err error) {
	err = t.at(p, func(fd int, name string) error {
		e, err = tree.Lstat(fd, name)
		return err
	})
	return e, err
}

// path is for messages.
func (t *target) path(p string) string { return filepath.Join(t.root, p) }

// mkdir makes a folder; made is false where there is one already.
func (t *target) mkdir(p string, mode uint32) (made bool, err error) {
	err = t.at(p, func(fd int, name string) error { return unix.Mkdirat(fd, name, mode&0o777|0o700) })
	if err == nil {
		t.writes.Add(1)
		return true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, fault("make folder", t.path(p), err)
	}
	e, err := t.lstat(p)
	if err != nil {
		return false, fault("look at", t.path(p), err)
	}
	if !e.IsDir() {
		return false, errInTheWay
	}
	return false, nil
}

// errInTheWay: something else stands where a folder has to be.
var errInTheWay = errors.New("in the way of a folder")

// notAFolder is the problem of a part's folder on the share that is none.
func notAFolder(path string) problem.Problem {
	return problem.Problem{What: "not a folder", At: path, Fix: "move it away on the share: mv " + human.Word(path) + " " + human.Word(path+".old")}
}

// settle gives an entry the owner, mode and mtime of want, where they differ.
func (t *target) settle(p string, want *tree.Entry) error {
	have, err := t.lstat(p)
	if err != nil {
		return fault("look at", t.path(p), err)
	}
	if have.Type() != want.Type() {
		return problem.Problem{What: fmt.Sprintf("has become a %s", have.Kind()), At: t.path(p), Fix: "find out who writes on the share, stop it, and run again"}
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
		if err := t.chmod(p, want.Perm()); err != nil {
			return err
		}
	}
	if tree.SameTime(want.Mtime, have.Mtime, t.granularity) {
		return nil
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(want.Mtime)}
	return t.change("set time", p, func(fd int, name string) error {
		return unix.UtimesNanoAt(fd, name, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// change does something to an entry.
func (t *target) change(verb, p string, f func(fd int, name string) error) error {
	if err := t.at(p, f); err != nil {
		return fault(verb, t.path(p), err)
	}
	t.writes.Add(1)
	return nil
}

func (t *target) chmod(p string, perm uint32) error {
	return t.change("change mode", p, func(fd int, name string) error { return tree.Chmod(fd, name, perm) })
}

// symlink makes a symbolic link, replacing what is there (unless a folder).
func (t *target) symlink(p string, want *tree.Entry) error {
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
		return fault("make link", t.path(p), err)
	}
	t.writes.Add(1)
	return t.settle(p, want)
}

// rename moves an entry to another folder of the target.
func (t *target) rename(from, to string) error {
	return t.at(from, func(fromFD int, fromName string) error {
		return t.at(to, func(toFD int, toName string) error { return unix.Renameat(fromFD, fromName, toFD, toName) })
	})
}

// removeDir takes an empty folder away; it need not exist. ENOTDIR: it is none.
func (t *target) removeDir(p string) (removed bool, err error) {
	if e, err := t.lstat(p); err == nil && !e.IsDir() {
		return false, unix.ENOTDIR
	}
	return t.unlink(p, unix.AT_REMOVEDIR)
}

// remove takes a file or link away; it need not exist.
func (t *target) remove(p string) (removed bool, err error) { return t.unlink(p, 0) }

func (t *target) unlink(p string, flags int) (removed bool, err error) {
	err = t.at(p, func(fd int, name string) error { return unix.Unlinkat(fd, name, flags) })
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return false, nil
	}
	if err == nil {
		t.writes.Add(1)
		if flags&unix.AT_REMOVEDIR != 0 {
			t.dir.Forget(p)
		}
	}
	return err == nil, err
}

// sync asks the share to make everything durable.
func (t *target) sync() error {
	return fault("sync", t.root, unix.Syncfs(t.dir.FD()))
}

// again repeats a call that a signal has interrupted; Go's runtime sends itself
// some, and network file systems pass them on.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
