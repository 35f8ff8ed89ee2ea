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

// goneIn are the folders in a folder's record that it has no more.
func (s *Scan) goneIn(old, now *tree.Dir) (list []string) {
	for i := range old.Entries {
		if e := &old.Entries[i]; e.IsDir() {
			path := tree.Join(old.Path, e.Name)
			if k := now.Find(e.Name); (k < 0 || !now.Entries[k].IsDir()) && s.manifest.Group(path) != nil {
				list = append(list, path)
			}
		}
	}
	return list
}

// missing counts what is gone with its folders. Damage to the manifest may have
// left folders in it that the record of no other folder names: then each is
// looked for.
func (s *Scan) missing() (err error) {
	if s.Census.Folders == 0 && s.manifest.Len() > 0 {
		s.gone = []string{""}
	}
	var folders int
	var files int64
	for _, path := range s.gone {
		n, within := s.lose(path)
		folders += n
		files += within
	}
	if s.met+folders < s.manifest.Len() && s.root != nil {
		files, err = s.strays()
	}
	s.Known += files
	s.Vanished += files
	slices.Sort(s.gone)
	return err
}

// lose counts a folder of the manifest that is gone, with those in it.
func (s *Scan) lose(path string) (folders int, files int64) {
	g := s.manifest.Group(path)
	if g == nil {
		return 0, 0
	}
	old := g.Dir(path)
	folders, files = 1, count(old)
	for i := range old.Entries {
		if old.Entries[i].IsDir() {
			n, within := s.lose(tree.Join(path, old.Entries[i].Name))
			folders += n
			files += within
		}
	}
	return folders, files
}

// strays finds all folders of the manifest that are gone, also those in others.
func (s *Scan) strays() (files int64, err error) {
	s.gone = nil
	err = s.manifest.Each(func(path string, g *manifest.Group) error {
		gone, err := s.absent(path)
		if err == nil && gone {
			s.gone = append(s.gone, path)
			files += count(g.Dir(path))
		}
		return err
	})
	return files, err
}

// absent reports whether the source has no such folder.
func (s *Scan) absent(path string) (bool, error) {
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
