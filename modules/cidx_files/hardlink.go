package files

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// first is where a file that has several names was copied: the folder to which
// path is relative. An absolute one is in another part.
func (t *target) first(path string) (*tree.Root, string, error) {
	if !filepath.IsAbs(path) {
		return t.dir, path, nil
	}
	below, err := filepath.Rel(strings.TrimSuffix(t.root, t.below), path)
	return t.share, below, err
}

// lstatFirst looks at the first name of a file.
func (t *target) lstatFirst(path string) (tree.Entry, error) {
	root, below, err := t.first(path)
	if err != nil {
		return tree.Entry{}, err
	}
	return root.Lstat(below)
}

// link makes p another name of the file first, absolute or relative to the
// target. changed is false where it is one already.
func (t *target) link(first, p string) (changed bool, err error) {
	err = t.linkTo(first, p)
	if !errors.Is(err, unix.EEXIST) {
		t.writes.Add(1)
		return err == nil, err
	}
	a, errA := t.lstatFirst(first)
	b, errB := t.lstat(p)
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
	t.writes.Add(1)
	return true, t.rename(name, p)
}

func (t *target) linkTo(first, p string) error {
	root, below, err := t.first(first)
	if err != nil {
		return err
	}
	return root.At(below, func(fromFD int, fromName string) error {
		return t.at(p, func(fd int, name string) error { return unix.Linkat(fromFD, fromName, fd, name, 0) })
	})
}
