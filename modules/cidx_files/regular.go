package files

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// copyFiles runs rsync for the regular files of some folders: one process each
// for folders of our own making and for the others, and for sparse files.
func (p *pass) copyFiles(ctx context.Context, tasks []*task) error {
	var lists [4]transfer
	for k := range lists {
		lists[k].inPlace, lists[k].sparse = k&1 != 0, k&2 != 0
	}
	for _, t := range tasks {
		for _, i := range t.copy {
			k := 0
			if t.made {
				k |= 1
			}
			if t.of(i).sparse {
				k |= 2
			}
			if !t.isBig(t.now.Entries[i].Name) {
				lists[k].names = append(lists[k].names, tree.Join(t.path, t.now.Entries[i].Name))
			}
		}
	}
	var partial *rsyncError
	for _, list := range lists {
		err := p.transfer(ctx, list)
		var failed *rsyncError
		switch {
		case errors.As(err, &failed) && failed.partial():
			partial = failed
		case errors.As(err, &failed):
			return failed.problem()
		case err != nil:
			return err
		}
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
		err := p.target.chmod(path, e.Perm())
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

// isBig reports whether copyBig has copied a file.
func (f *folder) isBig(name string) bool {
	for _, b := range f.big {
		if b.name == name {
			return !b.again
		}
	}
	return false
}

// withFolder has a file copied with its folder, whatever its size.
func (f *folder) withFolder(name string) {
	for _, b := range f.big {
		if b.name == name {
			b.again = true
		}
	}
}

// copiedBig reports whether this pass has copied a file by a process of its own.
func (f *folder) copiedBig(name string) bool {
	return slices.ContainsFunc(f.big, func(b *big) bool { return b.name == name && b.copied })
}

// checkCopies records what rsync has copied. After a partial transfer each file
// is looked at: one that has changed at the source meanwhile is left for the
// next pass; one that has not is an error.
func (p *pass) checkCopies(t *task, partial *rsyncError) error {
	if partial == nil {
		p.done(t, t.copy, 0)
		p.count(t, t.copy)
		return nil
	}
	var good []int
	for _, i := range t.copy {
		e := &t.now.Entries[i]
		path := tree.Join(t.path, e.Name)
		c, err := p.target.lstat(path)
		c.Mode = e.Mode // comes later
		if err == nil && e.Differs(&c, p.target.granularity) == "" {
			good = append(good, i)
			continue
		}
		if p.changed(path, e) {
			if err := p.moving(t, path); err != nil {
				return err
			}
			continue
		}
		if partial.uprooted() && p.args.Phase == phaseWarm {
			t.moved.Store(true) // its turn has not come; the next pass copies it
			continue
		}
		fault := partial.problem()
		fault.At = p.target.path(path)
		return fault
	}
	p.done(t, good, 0)
	p.count(t, good)
	return nil
}

func (p *pass) count(t *task, indexes []int) {
	for _, i := range indexes {
		p.result.copiedFiles.Add(1)
		p.result.copiedBytes.Add(t.now.Entries[i].Size)
	}
}

// changed reports whether an entry of the source is not what the scan saw.
func (p *pass) changed(path string, e *tree.Entry) bool {
	now, err := p.original(path)
	return err != nil || !tree.SameSource(e, &now)
}

// moving gives up an entry that changed while it was copied: the next pass's
// work while the server runs, and an error when it is supposed to be stopped.
func (p *pass) moving(t *task, path string) error {
	t.moved.Store(true)
	p.result.mu.Lock()
	p.result.moving++
	p.result.mu.Unlock()
	if p.args.Phase == phaseDelta {
		return problem.Problem{
			What: "changed while it was copied, although the server is stopped", At: filepath.Join(p.part.source, path),
			Fix: "find out who writes there (lsof, fuser), stop it, and run again",
		}
	}
	// No record names the copy that may lie on the share: if the source had lost
	// the file by the next pass, nobody would know that the copy has to go.
	if _, err := p.target.remove(path); err != nil && !errors.Is(err, unix.EISDIR) {
		return fault("remove", p.target.path(path), err)
	}
	return nil
}
