package files

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

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
		e, err := p.original(path)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fault("look at", filepath.Join(p.part.source, path), err)
		}
		// An earlier run may have come as far as this.
		if c, err := p.target.lstat(path); err == nil && i.list && p.whole(&e, &c) {
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
		i.copied = err == nil
		return err
	})
}

// attempts bounds how often a transfer is started anew because folders vanished.
const attempts = 5

// transfer runs one rsync of this part. rsync gives a whole transfer up when a
// folder vanishes under it: then it is started anew with what still exists.
func (p *pass) transfer(ctx context.Context, t transfer) error {
	t.source, t.target = p.part.source, p.target
	if !t.inPlace && len(t.names) > 0 {
		if err := p.target.openWork(); err != nil {
			return err
		}
	}
	for i := 1; len(t.names) > 0; i++ {
		p.target.writes.Add(int64(len(t.names)))
		err := p.rsync.run(ctx, t, p.meter)
		var failed *rsyncError
		if i == attempts || !errors.As(err, &failed) || !failed.uprooted() {
			return err
		}
		t.names = slices.DeleteFunc(t.names, func(path string) bool {
			e, err := p.source.Lstat(path)
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
	smallChunk   = 64
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
		if err := p.makeLinks(t); err != nil {
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
	if p.args.Compare != compareNone || slices.ContainsFunc(tasks, func(t *task) bool { return len(t.found) > 0 }) {
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
