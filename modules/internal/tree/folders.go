package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Root is an open folder below which entries are reached without following any
// link: each folder on the way is opened as the folder that it is, and calls
// that change something get one open folder and one name. Whoever replaces a
// folder by a link meanwhile leads nobody out. Folders stay open for a while,
// so that work in one opens it once. Its methods may be called from several
// goroutines.
type Root struct {
	fd   int
	mu   sync.Mutex
	open map[string]*handle
}

// handle is an open folder; it is closed when nobody uses it and Root has
// forgotten it.
type handle struct {
	fd   int
	uses int
	old  bool
}

// keptOpen bounds the folders that stay open.
const keptOpen = 256

// Open opens a folder as a Root. The path itself may lead through links.
func Open(path string) (*Root, error) {
	fd, err := OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Root{fd: fd, open: map[string]*handle{}}, nil
}

// openFolder opens a folder for the caller, who closes it.
func (r *Root) openFolder(dir string) (fd int, err error) {
	return openBeneath(r.fd, dir, unix.O_RDONLY)
}

// Sub opens a folder below the root as a Root of its own.
func (r *Root) Sub(dir string) (*Root, error) {
	fd, err := openBeneath(r.fd, dir, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return &Root{fd: fd, open: map[string]*handle{}}, nil
}

// FD is the root itself, for calls about "." and "..".
func (r *Root) FD() int { return r.fd }

// Close closes everything; no call may be under way.
func (r *Root) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.open {
		unix.Close(h.fd)
	}
	r.open = nil
	unix.Close(r.fd)
}

// In calls f with the open folder dir, "" for the root. The error of a folder
// that has become something else is ELOOP or ENOTDIR.
func (r *Root) In(dir string, f func(fd int) error) error {
	if dir == "" {
		return f(r.fd)
	}
	h, err := r.take(dir)
	if err != nil {
		return err
	}
	defer r.give(h)
	return f(h.fd)
}

// At calls f with the open folder that holds path, and path's last name; again
// where a signal has interrupted it: Go's runtime sends itself some, and network
// file systems pass them on.
func (r *Root) At(path string, f func(fd int, name string) error) error {
	dir, name := Parent(path)
	return r.In(dir, func(fd int) error {
		for {
			if err := f(fd, name); !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
}

// OpenFile opens a file to read it, without following a link and, where we may,
// without touching its access time.
func (r *Root) OpenFile(path string) (file *os.File, err error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	err = r.At(path, func(at int, name string) error {
		fd, err := unix.Openat(at, name, flags|unix.O_NOATIME, 0)
		if errors.Is(err, unix.EPERM) {
			fd, err = unix.Openat(at, name, flags, 0)
		}
		if err == nil {
			file = os.NewFile(uintptr(fd), path)
		}
		return err
	})
	return file, err
}

// Lstat reads an entry, "" for the root itself.
func (r *Root) Lstat(path string) (e Entry, err error) {
	if path == "" {
		return Fstat(r.fd)
	}
	err = r.At(path, func(fd int, name string) error {
		e, err = Lstat(fd, name)
		return err
	})
	return e, err
}

// ReadDir reads a folder.
func (r *Root) ReadDir(dir string) (*Dir, error) { return ReadDir(r.fd, dir, Options{}) }

// MkdirAll makes a folder with its parents, 0700; made is false where all were
// there.
func (r *Root) MkdirAll(dir string) (made bool, err error) {
	for i := 0; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		err := r.At(dir[:i], func(fd int, name string) error { return unix.Mkdirat(fd, name, 0o700) })
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return made, &fs.PathError{Op: "mkdir", Path: dir[:i], Err: err}
		}
		made = made || err == nil
	}
	return made, nil
}

// Forget is called when a folder is removed, or moved away: what is made there
// later is another one. "" stands for every folder below the root.
func (r *Root) Forget(dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for path, h := range r.open {
		if dir == "" || path == dir || strings.HasPrefix(path, dir+"/") {
			r.drop(path, h)
		}
	}
}

func (r *Root) take(dir string) (*handle, error) {
	r.mu.Lock()
	if h := r.open[dir]; h != nil {
		h.uses++
		r.mu.Unlock()
		return h, nil
	}
	r.mu.Unlock()
	fd, err := openBeneath(r.fd, dir, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.open[dir]; h != nil { // somebody was faster
		unix.Close(fd)
		h.uses++
		return h, nil
	}
	r.shrink()
	h := &handle{fd: fd, uses: 1}
	r.open[dir] = h
	return h, nil
}

func (r *Root) give(h *handle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.uses--; h.uses == 0 && h.old {
		unix.Close(h.fd)
	}
}

// shrink closes some folder that nobody uses.
func (r *Root) shrink() {
	if len(r.open) < keptOpen {
		return
	}
	for path, h := range r.open {
		if h.uses == 0 {
			r.drop(path, h)
			return
		}
	}
}

func (r *Root) drop(path string, h *handle) {
	delete(r.open, path)
	h.old = true
	if h.uses == 0 {
		unix.Close(h.fd)
	}
}

// Chmod changes the mode of an entry, never that of what a link leads to.
func Chmod(at int, name string, mode uint32) error {
	err := unix.Fchmodat(at, name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// A kernel without fchmodat2, or a link.
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	e, err := Fstat(fd)
	if err != nil {
		return err
	}
	if e.IsSymlink() {
		return unix.ELOOP
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

// noOpenat2 is set where the kernel (before 5.6) or its filter refuses openat2.
var noOpenat2 atomic.Bool

// openBeneath opens a folder below root without following a link anywhere.
func openBeneath(root int, dir string, flags int) (int, error) {
	flags |= unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if dir == "" {
		dir = "."
	}
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	for !noOpenat2.Load() {
		fd, err := unix.Openat2(root, dir, &how)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOSYS):
			noOpenat2.Store(true)
			continue
		}
		return fd, err
	}
	return openStepwise(root, dir, flags)
}

// openStepwise is openBeneath by one call for each name.
func openStepwise(root int, dir string, flags int) (int, error) {
	at := root
	for {
		name, rest, more := strings.Cut(dir, "/")
		if name == ".." {
			return -1, unix.EXDEV
		}
		how := flags
		if more {
			how = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		}
		fd, err := unix.Openat(at, name, how, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if at != root {
			unix.Close(at)
		}
		if err != nil || !more {
			return fd, err
		}
		at, dir = fd, rest
	}
}
