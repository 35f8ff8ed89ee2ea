package files

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// pass applies one scan to the share.
type pass struct {
	*copier
	part    *part
	scan    *scan
	target  *target
	recheck bool // what the manifest says of the copy is not believed
	reread  bool // everything is compared again
	aside   *tree.Aside
	result  *result
	source  *tree.Root
	made    atomic.Bool // all folders that the share did not have
}

// result is what a pass has done.
type result struct {
	writes      atomic.Int64
	copiedFiles atomic.Int64
	copiedBytes atomic.Int64
	linked      atomic.Int64
	deleted     atomic.Int64
	compared    atomic.Int64
	sampled     atomic.Int64

	mu       sync.Mutex
	aside    []string // moved there
	repaired []string
	moving   int // entries that changed while they were copied
	warnings []string
	git      []gitCheck
}

func (r *result) warn(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.warnings, text) {
		r.warnings = append(r.warnings, text)
	}
}

// apply brings the share into the state that the scan saw.
func (p *pass) apply(ctx context.Context) error {
	if err := p.target.closeWork(); err != nil { // of a run that was killed
		return err
	}
	if err := p.removeFolders(ctx); err != nil {
		return err
	}
	if err := p.intend(); err != nil {
		return err
	}
	if err := p.copyFolders(ctx); err != nil {
		return err
	}
	if err := p.target.closeWork(); err != nil {
		return err
	}
	return p.settleRoot()
}

// settleRoot gives the top folder its own time back, which the work folder has
// changed, and, for the snapshots, the folder that they lie in.
func (p *pass) settleRoot() error {
	root, err := p.original("")
	if err != nil {
		return fault("look at", p.part.source, err)
	}
	if err := p.target.settle("", &root); err != nil {
		return err
	}
	if c, err := p.target.lstat(""); err != nil || !tree.SameTime(root.Mtime, c.Mtime, p.target.granularity) {
		return problem.Problem{What: "the folder does not keep its time", At: p.target.root, Fix: "check the share (it does not keep what is written), and run again"}
	}
	if !p.part.inside {
		return nil
	}
	above := filepath.Dir(p.part.source) + "/." // not "..", since .versioned may be a link; and what that folder leads to
	want, err := p.part.lstat(above)
	if err != nil {
		return fault("look at", above, err)
	}
	return p.target.settle("..", &want)
}

// errReplaced: what was a folder of the copy is none any more.
var errReplaced = errors.New("a folder of the copy has become something else")

// inParallel calls f for each item from n goroutines; the first error ends it.
func inParallel[T any](ctx context.Context, n int, items []T, f func(context.Context, T) error) error {
	return inStream(ctx, n, func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}, f)
}

// inStream is inParallel for items that come one after the other.
func inStream[T any](ctx context.Context, n int, items iter.Seq2[T, error], f func(context.Context, T) error) error {
	all, working := errgroup.WithContext(ctx)
	all.SetLimit(n)
	for item, err := range items {
		if working.Err() != nil {
			break
		}
		all.Go(func() error {
			if err != nil {
				return err
			}
			return f(working, item)
		})
	}
	return cmp.Or(all.Wait(), ctx.Err())
}
