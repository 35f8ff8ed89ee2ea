package tree

import (
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Touched lists, sorted, the folders of a manifest that are not below root as
// they were copied: gone, another kind of file, or of another mtime, as a folder
// is in which a name was made, renamed or removed. What was written into a file
// in place does not show. It costs one lstat a folder, and reads no folder.
// Where root is not there every folder is touched.
func (m *Manifest) Touched(root string) ([]string, error) {
	if m.Len() == 0 {
		return nil, nil
	}
	fd, err := OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return m.paths()
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var list []string
	err = m.Each(func(path string, g *Group) error {
		at := path
		if at == "" {
			at = "."
		}
		now, err := lstat(fd, at)
		if err != nil || !now.IsDir() || now.Mtime != g.mtime() {
			list = append(list, path)
		}
		return nil
	})
	slices.Sort(list)
	return list, err
}

// paths lists all folders, sorted.
func (m *Manifest) paths() ([]string, error) {
	list := make([]string, 0, m.Len())
	err := m.Each(func(path string, _ *Group) error {
		list = append(list, path)
		return nil
	})
	slices.Sort(list)
	return list, err
}

// mtime is the folder's own, see Encode.
func (g *Group) mtime() int64 {
	r := reader{rest: g.Stats}
	var self Entry
	r.owner(&self)
	return r.varint()
}
