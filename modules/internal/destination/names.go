package destination

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// WorkFolder holds temporary files; it is at the top, so that a rename out of it
// never crosses file systems.
const WorkFolder = ".cidx-copy"

// temporary is a new name in the work folder, which is made when it is needed
// first: a comparison that finds nothing writes nothing.
func (t *Folder) temporary() (string, error) {
	if err := t.OpenWork(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/l%d", WorkFolder, t.names.Add(1)), nil
}

// OpenWork makes the folder for temporary files.
func (t *Folder) OpenWork() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.working {
		return nil
	}
	err := t.at(WorkFolder, func(fd int, name string) error { return unix.Mkdirat(fd, name, 0o700) })
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return share.Fault("make folder", t.Path(WorkFolder), err)
	}
	t.Writes.Add(1)
	t.working = true
	return nil
}

// CloseWork removes it again, or what a killed run has left of it.
func (t *Folder) CloseWork() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.working {
		if _, err := t.Lstat(WorkFolder); errors.Is(err, unix.ENOENT) {
			return nil
		}
		t.Writes.Add(1)
	}
	t.working = false
	t.Dir.Forget(WorkFolder)
	return share.Fault("remove folder", t.Path(WorkFolder), os.RemoveAll(filepath.Join(t.Self(), WorkFolder)))
}

// first is where a file that has several names was copied: the folder to which
// path is relative. An absolute one is elsewhere on the share.
func (t *Folder) first(path string) (*tree.Root, string, error) {
	if !filepath.IsAbs(path) {
		return t.Dir, path, nil
	}
	below, err := filepath.Rel(strings.TrimSuffix(t.Root, t.below), path)
	return t.Share, below, err
}

// LstatFirst looks at the first name of a file.
func (t *Folder) LstatFirst(path string) (tree.Entry, error) {
	root, below, err := t.first(path)
	if err != nil {
		return tree.Entry{}, err
	}
	return root.Lstat(below)
}

// Link makes p another name of the file first, absolute or relative to the
// folder. changed is false where it is one already.
func (t *Folder) Link(first, p string) (changed bool, err error) {
	err = t.linkTo(first, p)
	if !errors.Is(err, unix.EEXIST) {
		t.Writes.Add(1)
		return err == nil, err
	}
	a, errA := t.LstatFirst(first)
	b, errB := t.Lstat(p)
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
	if err := t.linkTo(first, name); err != nil {
		return false, err
	}
	t.Writes.Add(1)
	return true, t.rename(name, p)
}

func (t *Folder) linkTo(first, p string) error {
	root, below, err := t.first(first)
	if err != nil {
		return err
	}
	return root.At(below, func(fromFD int, fromName string) error {
		return t.at(p, func(fd int, name string) error { return unix.Linkat(fromFD, fromName, fd, name, 0) })
	})
}
