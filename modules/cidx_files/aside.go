package files

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
)

// asideFolder, at the top of the share, takes what a cluster wrote there that
// has been rolled back since. Nothing of it is deleted.
const asideFolder = ".cidx-aside"

// evictor moves entries that a rolled-back cluster has left inside our folders
// out of the way: a stray ref or file would change what a repository is.
type evictor struct {
	folder string
	spare  []string // what was there before us, whoever put it there
}

// evictor returns nil where entries that are not ours have to stay: unless a
// cut-over has happened since the last pass, nobody knows whose they are.
func (c *copier) evictor(j *job) *evictor {
	if !j.cutover {
		return nil
	}
	stamp := time.Now().UTC().Format("20060102T150405Z")
	return &evictor{folder: filepath.Join(c.share, asideFolder, stamp, j.part.name), spare: j.foreign()}
}

// evict moves an entry aside. done is false where it has to stay.
func (p *pass) evict(t *task, path string) (done bool, err error) {
	full := p.target.path(path)
	if p.evictor == nil || t.known == nil || slices.Contains(p.evictor.spare, full) {
		return false, nil
	}
	to := filepath.Join(p.evictor.folder, path)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return false, fault("make folder", filepath.Dir(to), err)
	}
	err = again(func() error { return unix.Renameat(p.target.fd, path, unix.AT_FDCWD, to) })
	if errors.Is(err, unix.EXDEV) {
		return false, nil
	}
	if err != nil {
		return false, cidx.Problem{What: "move aside: " + err.Error(), At: full, Fix: "move it out of the way by hand; a cluster that was rolled back has left it"}
	}
	p.target.writes.Add(1)
	p.result.moveAside(to)
	return true, nil
}

func (r *result) moveAside(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside = append(r.aside, path)
}
