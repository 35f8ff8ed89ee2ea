package mirror

import (
	"errors"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// missing finds the folders of the manifest that are gone, and counts what was in
// them.
func (s *Scan) missing() error {
	err := s.manifest.Unmet(func(path string, g *manifest.Group) error {
		gone, err := s.absent(path)
		if gone {
			files := count(g.Dir(path))
			s.gone, s.Known, s.Vanished = append(s.gone, path), s.Known+files, s.Vanished+files
		}
		return err
	})
	slices.Sort(s.gone)
	return err
}

// absent reports whether the source has no such folder.
func (s *Scan) absent(path string) (bool, error) {
	if s.root == nil { // nothing is there any more
		return true, nil
	}
	e, err := s.root.Lstat(path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return true, nil
	}
	return err == nil && !e.IsDir(), share.Fault("look at", filepath.Join(s.part.Source, path), err)
}

// lost is the number of files and links of a folder's record that now lacks.
// Those that an interrupted pass was about to copy count like those that it has
// copied: else little would seem to have been there.
func lost(old, now *tree.Dir) (n int64) {
	for i := range old.Entries {
		if e := &old.Entries[i]; !e.IsDir() && now.Find(e.Name) < 0 {
			n++
		}
	}
	return n
}
