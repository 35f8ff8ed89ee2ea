// Package beneath touches files below a folder without following a link at any
// part of their path: each folder on the way is opened by its own name, and what
// was opened is compared with what lay there. A folder that somebody replaces by
// a link meanwhile leads nowhere.
package beneath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLink is returned where a part of a path is a link, or was replaced while it
// was looked at.
var ErrLink = errors.New("a link in the path")

// Folder is an open folder. Its paths are relative and have no "..".
type Folder struct {
	root *os.Root
	path string
}

// Open opens the folder at path, which the caller vouches for: links on the way
// to it are followed.
func Open(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	return &Folder{root: root, path: path}, nil
}

// Close lets the folder go.
func (f *Folder) Close() error { return f.root.Close() }

// Path is the absolute spelling of a relative path, for messages.
func (f *Folder) Path(rel string) string { return filepath.Join(f.path, rel) }

// Lstat describes what lies at rel; errors.Is(err, fs.ErrNotExist) also where a
// folder on the way is missing.
func (f *Folder) Lstat(rel string) (fs.FileInfo, error) {
	var info fs.FileInfo
	err := f.In(rel, func(dir *os.Root, name string) (err error) {
		info, err = dir.Lstat(name)
		return err
	})
	return info, err
}

// Read opens the regular file at rel for reading.
func (f *Folder) Read(rel string) (*os.File, error) {
	var file *os.File
	err := f.In(rel, func(dir *os.Root, name string) error {
		before, err := dir.Lstat(name)
		if err != nil {
			return err
		}
		if !before.Mode().IsRegular() {
			return f.not(rel, "regular file", before)
		}
		if file, err = dir.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0); err != nil {
			return err
		}
		return f.same(file, before, rel)
	})
	return file, err
}

// same closes file and complains where it is not what lay there before.
func (f *Folder) same(file *os.File, before fs.FileInfo, rel string) error {
	now, err := file.Stat()
	if err == nil && !os.SameFile(before, now) {
		err = fmt.Errorf("open %s: %w", f.Path(rel), ErrLink)
	}
	if err != nil {
		_ = file.Close() // nothing was written
	}
	return err
}

func (f *Folder) not(rel, wanted string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("open %s: %w", f.Path(rel), ErrLink)
	}
	return fmt.Errorf("open %s: not a %s", f.Path(rel), wanted)
}

// In calls do with the folder that holds rel, and rel's last part.
func (f *Folder) In(rel string, do func(dir *os.Root, name string) error) error {
	return f.in(rel, false, do)
}

// Make is In that makes missing folders, mode 0700.
func (f *Folder) Make(rel string, do func(dir *os.Root, name string) error) error {
	return f.in(rel, true, do)
}

func (f *Folder) in(rel string, make bool, do func(dir *os.Root, name string) error) error {
	if !filepath.IsLocal(rel) || rel != filepath.Clean(rel) || rel == "." {
		return fmt.Errorf("open %q: not a path below %s", rel, f.path)
	}
	parts := strings.Split(rel, string(filepath.Separator))
	dir := f.root
	for i, name := range parts[:len(parts)-1] {
		next, err := f.down(dir, name, filepath.Join(parts[:i+1]...), make)
		if dir != f.root {
			_ = dir.Close() // nothing was written
		}
		if err != nil {
			return err
		}
		dir = next
	}
	if dir != f.root {
		defer dir.Close()
	}
	return do(dir, parts[len(parts)-1])
}

func (f *Folder) down(dir *os.Root, name, rel string, make bool) (*os.Root, error) {
	before, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) && make {
		if err = dir.Mkdir(name, 0o700); err == nil {
			err = ownAs(dir, name)
		}
		if err == nil || errors.Is(err, fs.ErrExist) {
			before, err = dir.Lstat(name)
		}
	}
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, f.not(rel, "folder", before)
	}
	next, err := dir.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	now, err := next.Stat(".")
	if err == nil && !os.SameFile(before, now) {
		err = fmt.Errorf("open %s: %w", f.Path(rel), ErrLink)
	}
	if err != nil {
		_ = next.Close() // nothing was written
		return nil, err
	}
	return next, nil
}

// Sync makes renames, creations and removals beside rel durable.
func (f *Folder) Sync(rel string) error {
	return f.In(rel, func(dir *os.Root, _ string) error {
		d, err := dir.Open(".")
		if err != nil {
			return err
		}
		defer d.Close()
		// Some network file systems do not know fsync of a folder.
		if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
			return fmt.Errorf("sync folder of %s: %w", f.Path(rel), err)
		}
		return nil
	})
}

// ownAs gives a new folder the owner of the one that it lies in; only root can
// and needs to.
func ownAs(dir *os.Root, name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := dir.Stat(".")
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return dir.Lchown(name, int(owner.Uid), int(owner.Gid))
	}
	return nil
}
