package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Options change how Walk goes.
type Options struct {
	// Skip, if set, is asked for each entry before it is looked into; what it
	// skips is not in Dir.Entries and not descended into. It is called from
	// several goroutines.
	Skip func(dir string, e *Entry) bool
	// Unreadable, if set, is told what could not be read; Walk goes on without
	// it. Otherwise the first such error ends the walk. Called from several
	// goroutines.
	Unreadable func(path string, err error)
	// Known, if set, tells how a folder was when it was read before, or nil. While
	// its times are the same it has the same names, and is not read again: only its
	// entries are looked at. It has none that Skip would skip. Called from several
	// goroutines.
	Known func(dir string) *Dir
	// Light leaves folders within a folder unlooked at where the file system tells
	// that they are folders: their entries have name and kind only, as in Encode.
	Light bool
}

// Walk reads every folder below root, several at once, and calls visit for each
// of them, from several goroutines and in no particular order, except that a
// folder comes before those in it. What vanishes meanwhile is left out. The
// first error of visit ends the walk.
func Walk(ctx context.Context, root string, o Options, visit func(*Dir) error) error {
	fd, err := OpenRoot(root)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(2 * runtime.NumCPU())
	w := walk{root: fd, options: o, visit: visit, ctx: ctx, all: all}
	all.Go(func() error { return w.folder("") })
	if err := all.Wait(); err != nil {
		return fmt.Errorf("walk %s: %w", root, err)
	}
	return nil
}

// OpenRoot opens a tree's root for the …at calls.
func OpenRoot(root string) (int, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", root, err)
	}
	return fd, nil
}

type walk struct {
	root    int
	options Options
	visit   func(*Dir) error
	ctx     context.Context
	all     *errgroup.Group
}

// folder reads one folder, visits it and goes on with those in it, for as many of
// which there are hands beside it.
func (w *walk) folder(dir string) error {
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	d, err := w.read(dir)
	if Vanished(err) && dir != "" {
		return nil
	}
	if err != nil {
		if w.options.Unreadable != nil && dir != "" {
			w.options.Unreadable(dir, err)
			return nil
		}
		return fmt.Errorf("read folder %q: %w", dir, err)
	}
	if err := w.visit(d); err != nil {
		return err
	}
	var folders []string // by name alone: what was read of this folder is not held while those in it are looked at
	for i := range d.Entries {
		if d.Entries[i].IsDir() {
			folders = append(folders, Join(dir, d.Entries[i].Name))
		}
	}
	for _, inner := range folders {
		if w.all.TryGo(func() error { return w.folder(inner) }) {
			continue
		}
		if err := w.folder(inner); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) read(dir string) (*Dir, error) {
	if d := w.still(dir); d != nil {
		return d, nil
	}
	return ReadDir(w.root, dir, w.options)
}

// ReadDir reads one folder below an open root.
func ReadDir(root int, dir string, o Options) (*Dir, error) {
	fd, err := openFolder(root, dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readDir(fd, dir, o)
}

func openFolder(root int, dir string) (int, error) {
	fd, err := openBeneath(root, dir, unix.O_RDONLY|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		fd, err = openBeneath(root, dir, unix.O_RDONLY)
	}
	return fd, err
}

func readDir(fd int, dir string, o Options) (*Dir, error) {
	self, err := Fstat(fd)
	if err != nil {
		return nil, err
	}
	d := &Dir{Path: dir, Self: self}
	found, err := readNames(fd)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b named) int { return strings.Compare(a.name, b.name) })
	d.Entries = make([]Entry, 0, len(found))
	for _, f := range found {
		name := f.name
		e, err := Entry{Mode: unix.S_IFDIR}, error(nil)
		if !o.Light || !f.folder {
			e, err = Lstat(fd, name)
		}
		switch {
		case Vanished(err):
			continue
		case err != nil && o.Unreadable != nil:
			o.Unreadable(Join(dir, name), err)
			d.Partial = true
			continue
		case err != nil:
			return nil, fmt.Errorf("stat %q: %w", name, err)
		}
		e.Name = name
		if o.Skip != nil && o.Skip(dir, &e) {
			d.Partial = true
			continue
		}
		d.Entries = append(d.Entries, e)
	}
	return d, nil
}

// Vanished reports whether an entry has vanished or become something else since its
// name was read.
func Vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ESTALE)
}

// named is a name in a folder.
type named struct {
	name   string
	folder bool // surely; not every file system tells
}

var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// readNames reads all names of an open folder.
func readNames(fd int) ([]named, error) {
	room := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(room)
	buffer := room[:]
	var list []named
	for {
		n, err := unix.Getdents(fd, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return list, nil
		}
		list = appendNames(list, buffer[:n])
	}
}

// appendNames parses struct linux_dirent64: ino, off (8 bytes each), reclen (2),
// type (1), name up to a NUL.
func appendNames(list []named, buffer []byte) []named {
	const header = 19
	for len(buffer) > header {
		length := int(binary.NativeEndian.Uint16(buffer[16:18]))
		if length <= header || length > len(buffer) {
			return list
		}
		raw := string(buffer[header:length])
		if end := strings.IndexByte(raw, 0); end >= 0 {
			raw = raw[:end]
		}
		if raw != "." && raw != ".." {
			list = append(list, named{raw, buffer[header-1] == unix.DT_DIR})
		}
		buffer = buffer[length:]
	}
	return list
}
