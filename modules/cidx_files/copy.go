package files

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

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
		return fault("look at", filepath.Join(p.part.source, path), err)
	}
	// An earlier run may have come as far as this.
	if c, err := p.target.lstat(path); err == nil && f.list && p.whole(&e, &c) {
		return nil
	}
	err = p.transfer(ctx, transfer{names: []string{path}, inPlace: f.made, sparse: e.Sparse()})
	var failed *rsyncError
	switch {
	case errors.As(err, &failed) && failed.partial():
		b.again = true
		return nil
	case errors.As(err, &failed):
		return failed.problem()
	}
	b.copied = err == nil
	return err
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
		return inStream(working, p.workers, p.portions(working, windows), func(ctx context.Context, c portion) error {
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
	return inParallel(ctx, p.workers, late, p.copyLate)
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

// makeAhead sends the folders of the plan, made on the share, in windows of so
// many that all workers have their share.
func (p *pass) makeAhead(ctx context.Context, windows chan<- []*folder) error {
	var window []*folder
	var weight, size int64
	send := func(last bool) error {
		if err := p.makeFolders(ctx, window); err != nil {
			return err
		}
		p.made.Store(last)
		select {
		case windows <- window:
		case <-ctx.Done():
			return ctx.Err()
		}
		window, weight, size = nil, 0, 0
		return nil
	}
	for f, err := range p.scan.plan.folders() {
		if err != nil {
			return err
		}
		window = append(window, f)
		weight += f.weight()
		size += int64(len(f.state))
		if weight >= 2*int64(p.workers)*p.portion() || size >= cmp.Or(p.settings.window, largeWindow) {
			if err := send(false); err != nil {
				return err
			}
		}
	}
	return send(true)
}

// Weights of a chunk: measured, a small file costs as much as some 256 KB.
const (
	bytesPerFile = 256 << 10
	smallChunk   = 64
	largeChunk   = 4000
	largeWindow  = 4 << 20 // bytes of the plan
)

func (f *folder) weight() int64 { return 2*f.files + f.bytes/bytesPerFile + 1 }

// portion is the weight of what one process gets.
func (p *pass) portion() int64 {
	return min(largeChunk, max(smallChunk, p.scan.weight/int64(3*p.workers)))
}

// portion is work for one process: some folders, or a big file in one.
type portion struct {
	folders []*folder
	big     *big
}

// portions groups neighbouring folders into portions of about the same work. The
// big files of a window come first: their folders wait for them.
func (p *pass) portions(ctx context.Context, windows <-chan []*folder) iter.Seq2[portion, error] {
	return func(yield func(portion, error) bool) {
		for folders := range windows {
			for _, f := range folders {
				list, err := f.large()
				if err != nil {
					yield(portion{}, err)
					return
				}
				f.big = list
				for _, b := range f.big {
					if !yield(portion{[]*folder{f}, b}, nil) {
						return
					}
				}
			}
			var weight int64
			start := 0
			for i, f := range folders {
				if weight += f.weight(); weight < p.portion() && i < len(folders)-1 {
					continue
				}
				if !yield(portion{folders: folders[start : i+1]}, ctx.Err()) {
					return
				}
				start, weight = i+1, 0
			}
		}
	}
}

// large are the big files of a folder.
func (f *folder) large() (list []*big, err error) {
	if !slices.ContainsFunc(f.special, func(s special) bool { return s.big }) {
		return nil, nil
	}
	now, err := f.now()
	if err != nil {
		return nil, err
	}
	for _, s := range f.special {
		if s.big {
			list = append(list, &big{name: now.Entries[s.entry].Name, done: make(chan struct{})})
		}
	}
	return list, nil
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
	if len(t.found) > 0 { // who made those is known only now
		if err := p.target.settle(t.path, &t.now.Self); err != nil {
			return err
		}
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
