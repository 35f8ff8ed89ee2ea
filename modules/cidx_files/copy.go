package files

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/tree"
)

// copyBig gives each large file a process of its own, so that a repository with
// a few huge packs is not left to one.
func (p *pass) copyBig(ctx context.Context) error {
	type item struct {
		*folder
		*big
	}
	var items []item
	for _, f := range p.scan.folders {
		for _, b := range f.big {
			items = append(items, item{f, b})
		}
	}
	return inParallel(ctx, p.workers, items, func(ctx context.Context, i item) error {
		path := tree.Join(i.path, i.name)
		e, err := tree.Lstat(p.source, path)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fault("look at", filepath.Join(p.part.source, path), err)
		}
		// An earlier run may have come as far as this.
		if c, err := tree.Lstat(p.target.fd, path); err == nil && !i.made && i.known == nil && p.whole(&e, &c) {
			return nil
		}
		err = p.transfer(ctx, transfer{names: []string{path}, inPlace: i.made, sparse: e.Sparse()})
		var failed *rsyncError
		switch {
		case errors.As(err, &failed) && failed.partial():
			i.again = true
			return nil
		case errors.As(err, &failed):
			return failed.problem()
		}
		return err
	})
}

// attempts bounds how often a transfer is started anew because folders vanished.
const attempts = 5

// transfer runs one rsync of this part. rsync gives a whole transfer up when a
// folder vanishes under it: then it is started anew with what still exists.
func (p *pass) transfer(ctx context.Context, t transfer) error {
	t.source, t.target = p.part.source, p.part.target
	t.temporary = p.target.path(workFolder)
	for i := 1; len(t.names) > 0; i++ {
		p.target.writes.Add(int64(len(t.names)))
		err := p.rsync.run(ctx, t, p.meter)
		var failed *rsyncError
		if i == attempts || !errors.As(err, &failed) || !failed.uprooted() {
			return err
		}
		t.names = slices.DeleteFunc(t.names, func(path string) bool {
			e, err := tree.Lstat(p.source, path)
			return err != nil || !e.IsRegular()
		})
	}
	return nil
}

// copyFolders copies files, folder by folder, several folders at a time in one
// process, and never one folder in two. Folders with further names of hard links
// come after the others, since their first names must be there.
func (p *pass) copyFolders(ctx context.Context) error {
	var late []*task
	lateOf := make(chan []*task, len(p.scan.folders)+1)
	chunks := chunked(p.scan.folders, p.workers)
	err := inParallel(ctx, p.workers, chunks, func(ctx context.Context, folders []*folder) error {
		later, err := p.copyChunk(ctx, folders)
		lateOf <- later
		return err
	})
	close(lateOf)
	if err != nil {
		return err
	}
	for tasks := range lateOf {
		late = append(late, tasks...)
	}
	if err := p.linkLate(ctx, late); err != nil {
		return err
	}
	return inParallel(ctx, p.workers, late, func(ctx context.Context, t *task) error {
		return p.complete(ctx, []*task{t})
	})
}

// Weights of a chunk: measured, a small file costs as much as some 256 KB.
const (
	bytesPerFile = 256 << 10
	smallChunk   = 16
	largeChunk   = 4000
)

// chunked groups neighbouring folders into portions of about the same work.
func chunked(folders []*folder, workers int) [][]*folder {
	weigh := func(f *folder) int64 { return 2*f.files + f.bytes/bytesPerFile + 1 }
	var total int64
	for _, f := range folders {
		total += weigh(f)
	}
	limit := min(largeChunk, max(smallChunk, total/int64(3*workers)))
	var chunks [][]*folder
	var weight int64
	start := 0
	for i, f := range folders {
		weight += weigh(f)
		if weight >= limit || i == len(folders)-1 {
			chunks = append(chunks, folders[start:i+1])
			start, weight = i+1, 0
		}
	}
	return chunks
}

// copyChunk does everything for some folders; those that wait for hard links
// are returned.
func (p *pass) copyChunk(ctx context.Context, folders []*folder) (late []*task, err error) {
	tasks := make([]*task, 0, len(folders))
	for _, f := range folders {
		t, err := p.open(f)
		if err != nil {
			return nil, err
		}
		if err := p.removeLost(t); err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	if err := p.copyFiles(ctx, tasks); err != nil {
		return nil, err
	}
	var ready []*task
	for _, t := range tasks {
		if err := p.makeOthers(t); err != nil {
			return nil, err
		}
		if len(t.late) > 0 {
			late = append(late, t)
		} else {
			ready = append(ready, t)
		}
	}
	return late, p.complete(ctx, ready)
}

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
			if p.scan.sparse(t.path, t.now.Entries[i].Name) {
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
		if t.flags[i+1]&tree.Copied == 0 || e.Perm() == 0o600 {
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
		c, err := tree.Lstat(p.target.fd, path)
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
			t.moved = true // its turn has not come; the next pass copies it
			continue
		}
		problem := partial.problem()
		problem.At = p.target.path(path)
		return problem
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
	now, err := tree.Lstat(p.source, path)
	return err != nil || !tree.SameSource(e, &now)
}

// moving notes that an entry changed while it was copied: the next pass's work
// while the server runs, and an error when it is supposed to be stopped.
func (p *pass) moving(t *task, path string) error {
	t.moved = true
	p.result.mu.Lock()
	p.result.moving++
	p.result.mu.Unlock()
	if p.args.Phase == phaseDelta {
		return cidx.Problem{
			What: "changed while it was copied, although the server is stopped", At: filepath.Join(p.part.source, path),
			Fix: "find out who writes there (lsof, fuser), stop it, and run again",
		}
	}
	return nil
}

// complete finishes folders whose entries are all there: attributes,
// comparison, record.
func (p *pass) complete(ctx context.Context, tasks []*task) error {
	for _, t := range tasks {
		if err := p.target.settle(t.path, &t.now.Self); err != nil {
			return err
		}
		t.flags[0] = tree.Copied
		p.meter.moved()
	}
	if p.args.Compare != compareNone {
		if err := p.compare(ctx, tasks); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		if err := p.commit(t); err != nil {
			return err
		}
	}
	return nil
}

// rested reports whether a file has been left alone for so long that any later
// change shows in its ctime.
func rested(e *tree.Entry) bool { return time.Since(time.Unix(0, e.Ctime)) > racyWindow }
