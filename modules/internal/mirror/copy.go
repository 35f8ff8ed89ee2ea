package mirror

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/rsync"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// copyBig gives a large file a process of its own, so that a repository with a
// few huge packs is not left to one.
func (p *pass) copyBig(ctx context.Context, f *folder, b *big) error {
	defer close(b.done)
	path := tree.Join(f.path, b.name)
	e, err := p.original(path)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return share.Fault("look at", filepath.Join(p.part.Source, path), err)
	}
	// An earlier run may have come as far as this.
	if c, err := p.target.Lstat(path); err == nil && f.list && p.whole(&e, &c) {
		return nil
	}
	partial, err := p.transfer(ctx, rsync.Transfer{Names: []string{path}, Sparse: e.Sparse()}, f.made)
	b.again, b.copied = partial != nil, partial == nil && err == nil
	return err
}

// attempts bounds how often a transfer is started anew because folders vanished.
const attempts = 5

// transfer runs one rsync of this part, without temporary files where we have just
// made the folders. rsync gives a whole transfer up when a folder vanishes under
// it: then it is started anew with what still exists. partial is set where it went
// on to its end without some files.
func (p *pass) transfer(ctx context.Context, t rsync.Transfer, made bool) (partial *rsync.Error, err error) {
	if len(t.Names) == 0 {
		return nil, nil
	}
	t.Source, t.Into, t.Shown, t.Slow = p.part.Source, p.target.Self(), p.target.Root, p.Network
	if !made {
		t.Temporary = destination.WorkFolder
		if err := p.target.OpenWork(); err != nil {
			return nil, err
		}
	}
	for i := 1; len(t.Names) > 0; i++ {
		p.target.Writes.Add(int64(len(t.Names)))
		err := p.Rsync.Run(ctx, t, p.meter.copied)
		failed, ok := errors.AsType[*rsync.Error](err)
		switch {
		case !ok:
			return nil, err
		case !failed.Partial():
			return nil, failed.Problem()
		case i == attempts || !failed.Uprooted():
			return failed, nil
		}
		t.Names = slices.DeleteFunc(t.Names, func(path string) bool {
			e, err := p.source.Lstat(path)
			return err != nil || !e.IsRegular()
		})
	}
	return nil, nil
}

// copyFolders copies files, folder by folder, several folders at a time in one
// process, and never one folder in two. While some are copied, the next ones are
// made. Folders with further names of hard links come again after all others,
// since their first names must be there; so do those in which folders are still made.
func (p *pass) copyFolders(ctx context.Context) error {
	var mu sync.Mutex
	var late []int64
	p.made.Store(false)
	stages, working := errgroup.WithContext(ctx)
	windows := make(chan []*folder, 1)
	stages.Go(func() error {
		defer close(windows)
		return p.makeAhead(working, windows)
	})
	stages.Go(func() error {
		return inStream(working, p.Workers, p.portions(working, windows), func(ctx context.Context, c portion) error {
			if c.big != nil {
				return p.copyBig(ctx, c.folders[0], c.big)
			}
			later, err := p.copyChunk(ctx, c.folders)
			mu.Lock()
			defer mu.Unlock()
			late = append(late, later...)
			return err
		})
	})
	if err := stages.Wait(); err != nil {
		return err
	}
	slices.Sort(late)
	return inParallel(ctx, p.Workers, late, p.copyLate)
}

// copyLate finishes a folder that was set back.
func (p *pass) copyLate(ctx context.Context, place int64) error {
	f, err := p.scan.plan.at(place)
	if err != nil {
		return err
	}
	f.again = true
	t, err := p.open(f)
	if err != nil {
		return err
	}
	tasks := []*task{t}
	if err := errors.Join(p.copyFiles(ctx, tasks), p.makeLinks(t)); err != nil {
		return err
	}
	if err := p.linkLate(ctx, t); err != nil {
		return err
	}
	return p.complete(ctx, tasks)
}

// copyChunk does everything for some folders; those that are not finished
// are returned by their place in the plan.
func (p *pass) copyChunk(ctx context.Context, folders []*folder) (late []int64, err error) {
	tasks := make([]*task, 0, len(folders))
	for _, f := range folders {
		for _, b := range f.big {
			select {
			case <-b.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
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
		if len(t.late) == 0 && (p.made.Load() || !t.hasFolders()) {
			ready = append(ready, t)
			continue
		}
		late = append(late, t.place)
		if err := p.setBack(ctx, t); err != nil {
			return nil, err
		}
	}
	return late, p.complete(ctx, ready)
}

// hasFolders reports whether there are folders in a folder: while they are made
// it does not keep its time.
func (t *task) hasFolders() bool {
	return slices.ContainsFunc(t.now.Entries, func(e tree.Entry) bool { return e.IsDir() })
}

// setBack records what is done of a folder that waits for hard links, or for the
// folders in it.
func (p *pass) setBack(ctx context.Context, t *task) error {
	if t.later = true; len(t.found) > 0 { // who made those is known only now
		if err := p.compare(ctx, []*task{t}); err != nil {
			return err
		}
	}
	t.flags[0] = 0
	return p.commit(t)
}

// complete finishes folders whose entries are all there: attributes,
// comparison, record.
func (p *pass) complete(ctx context.Context, tasks []*task) error {
	for _, t := range tasks {
		if err := p.target.Settle(t.path, &t.now.Self); err != nil {
			return err
		}
		if t.flags[0] = manifest.Copied; t.rested {
			t.flags[0] |= manifest.Rested
		}
		p.meter.Moved()
	}
	if p.Compare || slices.ContainsFunc(tasks, func(t *task) bool { return len(t.found) > 0 }) {
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
