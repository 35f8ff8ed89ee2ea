package mirror

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// finds are what a pass meets on its way, not in its look: entries of others on
// the share, and losses. They are kept at once.
type finds struct {
	*sides
	mount  string
	aside  *tree.Aside
	result *Result
}

func (f *finds) note(one manifest.Finding) error {
	dir, _ := tree.Parent(one.Path)
	f.result.mu.Lock()
	defer f.result.mu.Unlock()
	if slices.Contains(f.part.Found[dir], one) {
		return nil
	}
	f.part.Found[dir] = append(f.part.Found[dir], one)
	return one.Append(f.part.findings(), dir)
}

// strangers moves aside what others have put into a folder of the share, and takes
// it out of what was found there.
func (f *finds) strangers(dir string, now, old, have *tree.Dir) error {
	f.forget(dir)
	kept := have.Entries[:0]
	for i := range have.Entries {
		e := have.Entries[i]
		if !f.part.strange(dir, now, old, &e) {
			kept = append(kept, e)
			continue
		}
		if err := f.evict(tree.Join(dir, e.Name)); err != nil {
			return err
		}
	}
	have.Entries = kept
	return nil
}

// forget is for a folder that is listed anew.
func (f *finds) forget(dir string) {
	f.result.mu.Lock()
	defer f.result.mu.Unlock()
	if old := f.part.Found[dir]; len(old) > 0 {
		f.part.Found[dir] = slices.DeleteFunc(slices.Clone(old), func(one manifest.Finding) bool { return one.Kind == Foreign })
	}
}

// evict moves an entry of the share aside. What lies on another file system
// stays, and is told.
func (f *finds) evict(entry string) error {
	full := f.target.Path(entry)
	to, err := f.aside.Move(f.target.Dir, entry)
	switch {
	case errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY):
		return f.note(manifest.Finding{Kind: Foreign, Path: entry})
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return immovable(f.mount, full)
	case err != nil:
		return share.Fault("move aside", full, err)
	}
	f.target.Writes.Add(1)
	f.result.add(&f.result.Aside, filepath.Join(f.mount, to))
	return nil
}

// immovable is the problem of an entry that this user may not move.
func immovable(mount, full string) error {
	return problem.Problem{What: "not of this server's copy, and may not be moved aside", At: full, Fix: tree.Immovable(mount, full)}
}

// Foreign are the entries on the share that others have put there, found now or
// earlier.
func (p *Part) Foreign() (list []string) {
	for _, f := range p.Found.Of(Foreign) {
		list = append(list, filepath.Join(p.Target, f.Path))
	}
	return list
}

// dropStrangers forgets those that are gone, or that are ours by now.
func (j *Job) dropStrangers() {
	for dir, all := range j.Part.Found {
		j.Part.Found[dir] = slices.DeleteFunc(slices.Clone(all), func(f manifest.Finding) bool {
			if f.Kind != Foreign {
				return false
			}
			_, err := tree.Lstat(unix.AT_FDCWD, filepath.Join(j.Part.Target, f.Path))
			dir, name := tree.Parent(f.Path)
			ours := j.manifest.Group(f.Path) != nil || j.manifest.Group(dir).Dir(dir).Find(name) >= 0
			return errors.Is(err, unix.ENOENT) || ours
		})
	}
}

// Kinds of findings, besides those of a part's Rules.
const (
	Attributes = "attributes not copied"
	HardLink   = "hard link that became a file of its own"
	Foreign    = "on the share, not ours" // the path is below the part's folder on the share
)

// find is what there is to tell of a folder: of one that has not changed what an
// earlier look has found.
func (s *Scan) find(d *tree.Dir, unchanged bool) []manifest.Finding {
	if unchanged && s.part.Found != nil {
		return s.part.Found[d.Path]
	}
	var list []manifest.Finding
	attributes := func(path string) {
		// NFS keeps none of them in general, so they are not copied; git uses none.
		if names := s.root.Attributes(path); len(names) > 0 {
			list = append(list, manifest.Finding{Kind: Attributes, Path: path, Detail: strings.Join(names, ", ")})
		}
	}
	if d.Path == "" {
		attributes("")
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		attributes(tree.Join(d.Path, e.Name))
		list = append(list, s.part.Rules.Find(s.root, d.Path, e)...)
	}
	for _, old := range s.part.Found[d.Path] {
		_, name := tree.Parent(old.Path)
		if i := d.Find(name); old.Kind == Foreign || old.Kind == HardLink && i >= 0 && d.Entries[i].Nlink > 1 {
			list = append(list, old)
		}
	}
	return list
}
