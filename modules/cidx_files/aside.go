package files

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// asideFolder, at the top of the share, takes what lies in the folders of the
// copy and is not of it: an earlier copy made by hand, what a cluster wrote that
// was rolled back since. A stray alias, lock, ref or file would change what the
// cluster sees. Nothing of it is deleted.
const asideFolder = ".cidx-aside"

// strange reports whether an entry of the share belongs neither to the source as
// it is, nor to what was copied of it before.
func (p *part) strange(dir string, now, old *tree.Dir, e *tree.Entry) bool {
	if dir == "" && (e.Name == workFolder || e.Name == snapshotFolder || p.leaveOutTop(e.Name) == ownPart) {
		return false
	}
	if i := old.Find(e.Name); i >= 0 && old.Entries[i].IsDir() == e.IsDir() {
		return false
	}
	i := now.Find(e.Name)
	return i < 0 || now.Entries[i].IsDir() != e.IsDir()
}

// evictor moves entries out of the way, into a folder of its own for each pass.
type evictor struct {
	under string // below the share
}

func (c *copier) evictor(j *job) *evictor {
	stamp := time.Now().UTC().Format("20060102T150405.000000Z")
	return &evictor{under: path.Join(asideFolder, stamp, j.part.name)}
}

// folder opens the folder below the evictor's for an entry of a part, making it.
func (v *evictor) folder(share *tree.Root, dir string) (fd int, err error) {
	at := path.Join(v.under, dir)
	if _, err := share.MkdirAll(at); err != nil {
		return -1, err
	}
	return share.OpenFolder(at)
}

// evict moves an entry of the share aside. What lies on another file system
// stays, and is told.
func (p *pass) evict(entry string) error {
	full := p.target.path(entry)
	dir, _ := tree.Parent(entry)
	to, err := p.evictor.folder(p.target.share, dir)
	if err != nil {
		return fault("make folder", filepath.Join(p.share, p.evictor.under, dir), err)
	}
	defer unix.Close(to)
	err = p.target.at(entry, func(fd int, name string) error { return unix.Renameat(fd, name, to, name) })
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
	p.target.dir.Forget(entry)
	p.result.moveAside(filepath.Join(p.share, p.evictor.under, entry))
	return nil
}

// immovable is the problem of an entry that this user may not move.
func (c *copier) immovable(full string) error {
	aside := filepath.Join(c.share, asideFolder)
	return problem.Problem{
		What: "not of this server's copy, and may not be moved aside", At: full,
		Fix: fmt.Sprintf("move it there as its owner or root: mkdir -p %s && mv %s %s/; then run again", cidx.Quoted(aside), cidx.Quoted(full), cidx.Quoted(aside)),
	}
}

func (r *result) moveAside(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside = append(r.aside, path)
}
