package files

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// strange reports whether an entry of the share belongs neither to the source as
// it is, nor to what was copied of it before. Alias files are cidx_aliases' own.
func (p *part) strange(dir string, now, old *tree.Dir, e *tree.Entry) bool {
	if p.alias(p.target, dir, e) {
		return false
	}
	if dir == "" && (e.Name == workFolder || e.Name == snapshotFolder || p.leaveOutTop(e.Name) == ownPart) {
		return false
	}
	if i := old.Find(e.Name); i >= 0 && old.Entries[i].IsDir() == e.IsDir() {
		return false
	}
	i := now.Find(e.Name)
	return i < 0 || now.Entries[i].IsDir() != e.IsDir()
}

// evict moves an entry of the share aside. What lies on another file system
// stays, and is told.
func (p *pass) evict(entry string) error {
	full := p.target.path(entry)
	to, err := p.aside.Move(p.target.dir, entry)
	switch {
	case errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EBUSY):
		return p.stranger(entry)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return p.immovable(full)
	case err != nil:
		return fault("move aside", full, err)
	}
	p.target.writes.Add(1)
	p.result.moveAside(filepath.Join(p.share, to))
	return nil
}

// immovable is the problem of an entry that this user may not move.
func (c *copier) immovable(full string) error {
	return problem.Problem{
		What: "not of this server's copy, and may not be moved aside", At: full,
		Fix: home.MoveAside(full, filepath.Join(c.share, tree.AsideFolder)),
	}
}

func (r *result) moveAside(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside = append(r.aside, path)
}
