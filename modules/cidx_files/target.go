package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/tree"
)

// target is a part's folder on the share. Paths are relative to it. Whatever
// writes counts in writes, so that a run can say honestly that it changed
// nothing.
type target struct {
	root        string
	fd          int   // what is mounted there later is another folder
	granularity int64 // of mtimes, in ns
	writes      atomic.Int64
	names       atomic.Int64 // numbers temporary names
	mu          sync.Mutex
	working     bool // there is a work folder
}

// openTarget opens a part's folder on the share; with create it makes it first,
// with its parents.
func openTarget(root string, granularity int64, create bool) (*target, error) {
	t := &target{root: root, granularity: max(1, granularity)}
	info, err := os.Lstat(root)
	switch {
	case err == nil && !info.IsDir():
		return nil, notAFolder(root)
	case errors.Is(err, os.ErrNotExist) && create:
		if err := os.MkdirAll(root, 0o700); err != nil {
			return nil, fault("make folder", root, err)
		}
		t.writes.Add(1)
	case err != nil:
		return nil, fault("open folder", root, err)
	}
	fd, err := tree.OpenRoot(root)
	if err != nil {
		return nil, fault("open folder", root, err)
	}
	t.fd = fd
	return t, nil
}

func (t *target) close() { unix.Close(t.fd) }

// self is the open folder by a path that leads nowhere else, whatever happens to
// the mount.
func (t *target) self() string { return fmt.Sprintf("/proc/self/fd/%d", t.fd) }

// path is for messages.
func (t *target) path(p string) string { return filepath.Join(t.root, p) }

// mkdir makes a folder; made is false where there is one already.
func (t *target) mkdir(p string, mode uint32) (made bool, err error) {
	err = again(func() error { return unix.Mkdirat(t.fd, p, mode&0o777|0o700) })
	if err == nil {
		t.writes.Add(1)
		return true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return false, fault("make folder", t.path(p), err)
	}
	e, err := tree.Lstat(t.fd, p)
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
func notAFolder(path string) cidx.Problem {
	return cidx.Problem{What: "not a folder", At: path, Fix: "move it away on the share: mv " + cidx.Quoted(path) + " " + cidx.Quoted(path+".old")}
}

// settle gives an entry the owner, mode and mtime of want, where they differ.
func (t *target) settle(p string, want *tree.Entry) error {
	at := p
	if at == "" {
		at = "."
	}
	have, err := tree.Lstat(t.fd, at)
	if err != nil {
		return fault("look at", t.path(p), err)
	}
	if have.UID != want.UID || have.GID != want.GID {
		if err := again(func() error {
			return unix.Fchownat(t.fd, at, int(want.UID), int(want.GID), unix.AT_SYMLINK_NOFOLLOW)
		}); err != nil {
			return fault("change owner", t.path(p), err)
		}
		t.writes.Add(1)
	}
	// A change of owner takes setuid and setgid away.
	if !want.IsSymlink() && (have.Perm() != want.Perm() || have.UID != want.UID && want.Perm() > 0o777) {
		if err := t.chmod(at, want.Perm()); err != nil {
			return err
		}
	}
	if !tree.SameTime(want.Mtime, have.Mtime, t.granularity) {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(want.Mtime)}
		if err := again(func() error { return unix.UtimesNanoAt(t.fd, at, times, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
			return fault("set time", t.path(p), err)
		}
		t.writes.Add(1)
	}
	return nil
}

func (t *target) chmod(p string, perm uint32) error {
	if err := again(func() error { return unix.Fchmodat(t.fd, p, perm, 0) }); err != nil {
		return fault("change mode", t.path(p), err)
	}
	t.writes.Add(1)
	return nil
}

// temporary is a new name in the work folder, which is made when it is needed
// first: a comparison that finds nothing writes nothing.
func (t *target) temporary() (string, error) {
	if err := t.openWork(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/l%d", workFolder, t.names.Add(1)), nil
}

// symlink makes a symbolic link, replacing what is there (unless a folder).
func (t *target) symlink(p string, want *tree.Entry) error {
	err := again(func() error { return unix.Symlinkat(want.Link, t.fd, p) })
	if errors.Is(err, unix.EEXIST) {
		name, errWork := t.temporary()
		if errWork != nil {
			return errWork
		}
		if err = unix.Symlinkat(want.Link, t.fd, name); err == nil {
			err = unix.Renameat(t.fd, name, t.fd, p)
		}
	}
	if err != nil {
		return fault("make link", t.path(p), err)
	}
	t.writes.Add(1)
	return t.settle(p, want)
}

// write makes a small file with the attributes of want, replacing what is there
// in one step.
func (t *target) write(p string, content []byte, want *tree.Entry) error {
	name, err := t.temporary()
	if err != nil {
		return err
	}
	fd, err := unix.Openat(t.fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fault("write", t.path(p), err)
	}
	f := os.NewFile(uintptr(fd), t.path(name))
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return fault("write", t.path(p), err)
	}
	if err := t.settle(name, want); err != nil {
		return err
	}
	if err := unix.Renameat(t.fd, name, t.fd, p); err != nil {
		return fault("write", t.path(p), err)
	}
	t.writes.Add(1)
	return nil
}

// link makes p another name of the file first, absolute or relative to the
// target. changed is false where it is one already.
func (t *target) link(first, p string) (changed bool, err error) {
	err = again(func() error { return unix.Linkat(t.fd, first, t.fd, p, 0) })
	if !errors.Is(err, unix.EEXIST) {
		t.writes.Add(1)
		return err == nil, err
	}
	a, errA := tree.Lstat(t.fd, first)
	b, errB := tree.Lstat(t.fd, p)
	if err := errors.Join(errA, errB); err != nil {
		return false, err
	}
	if a.Dev == b.Dev && a.Ino == b.Ino {
		return false, nil
	}
	name, err := t.temporary()
	if err != nil {
		return false, err
	}
	if err := unix.Linkat(t.fd, first, t.fd, name, 0); err != nil {
		return false, err
	}
	t.writes.Add(1)
	return true, unix.Renameat(t.fd, name, t.fd, p)
}

// remove takes a file or link away; it need not exist.
func (t *target) remove(p string, flags int) (removed bool, err error) {
	err = again(func() error { return unix.Unlinkat(t.fd, p, flags) })
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err == nil {
		t.writes.Add(1)
	}
	return err == nil, err
}

// openWork makes the folder for temporary files.
func (t *target) openWork() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.working {
		return nil
	}
	if err := again(func() error { return unix.Mkdirat(t.fd, workFolder, 0o700) }); err != nil && !errors.Is(err, unix.EEXIST) {
		return fault("make folder", t.path(workFolder), err)
	}
	t.writes.Add(1)
	t.working = true
	return nil
}

// closeWork removes it again, or what a killed run has left of it.
func (t *target) closeWork() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.working {
		if _, err := tree.Lstat(t.fd, workFolder); errors.Is(err, unix.ENOENT) {
			return nil
		}
		t.writes.Add(1)
	}
	t.working = false
	return fault("remove folder", t.path(workFolder), os.RemoveAll(filepath.Join(t.self(), workFolder)))
}

// sync asks the share to make everything durable.
func (t *target) sync() error {
	return fault("sync", t.root, unix.Syncfs(t.fd))
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
