package mirror

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/rsync"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// copyFiles runs rsync for the regular files of some folders: one process each
// for folders of our own making and for the others, and for sparse files.
func (p *pass) copyFiles(ctx context.Context, tasks []*task) error {
	const made, sparse = 1, 2
	var lists [4]rsync.Transfer
	for _, t := range tasks {
		for _, i := range t.copy {
			k := 0
			if t.made {
				k |= made
			}
			if t.special[i].sparse {
				k |= sparse
			}
			if t.alone(t.now.Entries[i].Name).again {
				lists[k].Names = append(lists[k].Names, tree.Join(t.path, t.now.Entries[i].Name))
			}
		}
	}
	var partial *rsync.Error
	for k, list := range lists {
		list.Sparse = k&sparse != 0
		failed, err := p.transfer(ctx, list, k&made != 0)
		if err != nil {
			return err
		}
		partial = cmp.Or(failed, partial)
	}
	return inParallel(ctx, readers, tasks, func(_ context.Context, t *task) error {
		if err := p.checkCopies(t, partial); err != nil {
			return err
		}
		return p.setModes(t)
	})
}

// setModes gives the copies of a folder their modes; rsync has left them 0600.
func (p *pass) setModes(t *task) error {
	for _, i := range t.copy {
		e := &t.now.Entries[i]
		if t.flags[i+1]&manifest.Copied == 0 || e.Perm() == 0o600 {
			continue
		}
		path := tree.Join(t.path, e.Name)
		err := p.target.Chmod(path, e.Perm())
		if errors.Is(err, unix.ENOENT) && p.changed(path, e) { // rsync has passed over it
			t.flags[i+1] = 0
			err = p.moving(t, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone is a file that is copied by a process of its own; of any other one it is
// empty, and to be copied with its folder.
func (f *folder) alone(name string) *big {
	for _, b := range f.big {
		if b.name == name {
			return b
		}
	}
	return &big{again: true}
}

// checkCopies records what rsync has copied. After a partial transfer each file
// is looked at: one that has changed at the source meanwhile is left for the
// next pass; one that has not is an error.
func (p *pass) checkCopies(t *task, partial *rsync.Error) error {
	if partial == nil {
		p.copied(t, t.copy)
		return nil
	}
	var good []int
	for _, i := range t.copy {
		e := &t.now.Entries[i]
		path := tree.Join(t.path, e.Name)
		c, err := p.target.Lstat(path)
		c.Mode = e.Mode // comes later
		if err == nil && e.Differs(&c, p.target.Grain) == "" {
			good = append(good, i)
			continue
		}
		if p.changed(path, e) {
			if err := p.moving(t, path); err != nil {
				return err
			}
			continue
		}
		if partial.Uprooted() && p.Live {
			t.moved.Store(true) // its turn has not come; the next pass copies it
			continue
		}
		failed := partial.Problem()
		failed.At = p.target.Path(path)
		return failed
	}
	p.copied(t, good)
	return nil
}

// copied records and counts what rsync has copied.
func (p *pass) copied(t *task, indexes []int) {
	p.done(t, indexes)
	for _, i := range indexes {
		p.result.CopiedFiles.Add(1)
		p.result.CopiedBytes.Add(t.now.Entries[i].Size)
	}
}

// moving gives up an entry that changed while it was copied: the next pass's
// work while the server runs, and an error when it is supposed to be stopped.
func (p *pass) moving(t *task, path string) error {
	t.moved.Store(true)
	p.result.Moving.Add(1)
	if !p.Live {
		return problem.Problem{
			What: "changed while it was copied, although the server is stopped", At: filepath.Join(p.part.Source, path),
			Fix: "find out who writes there (lsof, fuser), stop it, and run again",
		}
	}
	// No record names the copy that may lie on the share: if the source had lost
	// the file by the next pass, nobody would know that the copy has to go.
	if _, err := p.target.Remove(path); err != nil && !errors.Is(err, unix.EISDIR) {
		return share.Fault("remove", p.target.Path(path), err)
	}
	return nil
}
