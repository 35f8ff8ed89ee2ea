package mirror

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// pass applies one look to the share.
type pass struct {
	*Mirror
	*sides
	finds   *finds
	result  *Result
	recheck bool // what the manifest says of the copy is not believed
	scan    *Scan
	frame   *frame
	decider *decider
	made    atomic.Bool // all folders that the share did not have
}

// run applies the look, reads the sample, and has the outcome checked.
func (p *pass) run(ctx context.Context, j *Job, check func(context.Context) error) error {
	var differing []string
	var failed error
	var sampling sync.WaitGroup // of folders without work, so beside it
	sampling.Go(func() { differing, failed = p.checkSample(ctx) })
	var err error
	if j.Work() {
		err = p.apply(ctx)
	}
	sampling.Wait()
	switch {
	case errors.Is(err, errReplaced):
		p.result.Warn(fmt.Sprintf("%v; everything in %s was looked at again", err, p.target.Root))
		err = p.applyDoubted(ctx, j)
	case err == nil && failed != nil:
		err = failed
	case err == nil && len(differing) > 0:
		p.result.Warn(fmt.Sprintf("%s: %d of %d sampled files differ from the source although nothing changed there (%s); "+
			"everything was compared again", p.part.Target, len(differing), p.result.Sampled.Load(), differing[0]))
		err = p.applyDoubted(ctx, j)
	}
	if err == nil && check != nil {
		err = check(ctx)
	}
	if err != nil || p.target.Writes.Load() == 0 || p.Live {
		return err
	}
	return p.sync(p.target.Dir.FD(), p.target.Root)
}

// applyDoubted looks at everything on the share again.
func (p *pass) applyDoubted(ctx context.Context, j *Job) error {
	s, err := look(ctx, p.part, p.scan.manifest, criteria{want: impossible, dir: p.Scratch})
	if err != nil {
		return err
	}
	p.scan.close()
	p.target.Dir.Forget("") // folders that are open may have been moved away
	j.Scan, p.scan, p.recheck = s, s, true
	if s.links.elsewhere, err = p.elsewhere(j); err != nil {
		return err
	}
	return p.apply(ctx)
}

// apply brings the share into the state that the look saw.
func (p *pass) apply(ctx context.Context) error {
	p.frame = &frame{finds: p.finds, manifest: p.scan.manifest, workers: p.Workers, recheck: p.recheck, all: p.recheck || p.Reread}
	p.decider = &decider{sides: p.sides, links: p.scan.links, recheck: p.recheck, reread: p.Reread}
	if p.Live {
		p.decider.late = p.scan.started.Add(-racyWindow).UnixNano()
	}
	if err := p.target.CloseWork(); err != nil { // of a run that was killed
		return err
	}
	if err := p.frame.remove(ctx, p.scan.gone); err != nil {
		return err
	}
	if err := p.frame.intend(p.scan.plan); err != nil {
		return err
	}
	if err := p.copyFolders(ctx); err != nil {
		return err
	}
	if err := p.target.CloseWork(); err != nil {
		return err
	}
	return p.settleRoot()
}

// settleRoot gives the top folder its own time back, which the work folder has
// changed, and, for a part in another one, the folder that it lies in.
func (p *pass) settleRoot() error {
	root, err := p.original("")
	if err != nil {
		return share.Fault("look at", p.part.Source, err)
	}
	if err := p.target.Settle("", &root); err != nil {
		return err
	}
	if c, err := p.target.Lstat(""); err != nil || !tree.SameTime(root.Mtime, c.Mtime, p.target.Grain) {
		return problem.Problem{
			What: "the folder does not keep its time", At: p.target.Root,
			Fix: "check the share (it does not keep what is written), and run again",
		}
	}
	if !p.part.Inside {
		return nil
	}
	above := filepath.Dir(p.part.Source) + "/." // not "..", since the part may be a link; and what that folder leads to
	want, err := p.part.Lstat(above)
	if err != nil {
		return share.Fault("look at", above, err)
	}
	return p.target.Settle("..", &want)
}

// errReplaced: what was a folder of the copy is none any more.
var errReplaced = errors.New("a folder of the copy has become something else")

// task is one folder under work: what the source has, what the copy is known to
// have, and what is left to do.
type task struct {
	*folder
	now   *tree.Dir
	known *manifest.Group // as the manifest has it
	old   *tree.Dir       // the same; empty for none
	flags []byte          // of the folder, then of each entry
	copy  []int           // entries for rsync
	other []int           // symbolic links
	there []int           // entries that the share has, to all appearances
	late  []int           // further names of a file that is copied under another one
	lost  []int           // entries of old that the source has no more
	found map[int]bool    // entries that lay on the share and were not recorded as copied
	moved atomic.Bool     // something changed at the source meanwhile
	later bool            // something is still to be made in it: nothing can be said of the folder itself
}

// open decides what each entry of a folder needs, after it has looked what the
// share has in it, where that is not sure. Where only mode or owner of an entry
// are wrong (a killed run had not come to them), they are put right.
func (p *pass) open(f *folder) (*task, error) {
	now, err := f.now()
	if err != nil {
		return nil, err
	}
	known, have := p.scan.manifest.Group(f.path), &tree.Dir{}
	if f.list {
		copied := p.frame.copiedIn(now) // before the share is read: others are made meanwhile
		if have, err = p.target.Dir.ReadDir(f.path); err != nil {
			return nil, share.Fault("read folder", p.target.Path(f.path), err)
		}
		if !p.recheck && slices.ContainsFunc(copied, func(name string) bool { return have.Find(name) < 0 }) {
			return nil, fmt.Errorf("read folder %q: %w", p.target.Path(f.path), errReplaced)
		}
		if err := p.finds.strangers(f.path, now, known.Dir(f.path), have); err != nil {
			return nil, err
		}
	}
	t, err := p.decider.decide(f, now, known, have)
	if err != nil {
		return nil, err
	}
	for _, i := range t.there {
		e := &now.Entries[i]
		if err := p.target.Settle(tree.Join(f.path, e.Name), e); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// foundThere notes that nothing says who has made the copy of an entry: it is
// compared, whatever the operator has asked for.
func (t *task) foundThere(i int) {
	if t.alone(t.now.Entries[i].Name).copied {
		return
	}
	if t.found == nil {
		t.found = map[int]bool{}
	}
	t.found[i] = true
}

// done records entries as copied.
func (p *pass) done(t *task, indexes []int) {
	for _, i := range indexes {
		t.flags[i+1] = manifest.Copied | p.decider.racy(&t.now.Entries[i])
	}
}

// removeLost takes away what the source has no more, and what stands where a
// folder has become something else or the reverse. Only what the manifest has
// recorded is touched.
func (p *pass) removeLost(t *task) error {
	for _, i := range t.lost {
		path := tree.Join(t.path, t.old.Entries[i].Name)
		if p.part.Rules.Apart(p.part.Target, t.path, &t.old.Entries[i]) {
			continue
		}
		removed, err := p.target.Remove(path)
		if err != nil {
			if e, failed := p.target.Lstat(path); failed != nil || !e.IsDir() {
				return share.Fault("remove", p.target.Path(path), err)
			}
			err = p.finds.evict(path)
		}
		if err != nil {
			return err
		}
		if removed {
			p.result.Deleted.Add(1)
		}
	}
	return nil
}

// commit records a folder in the manifest. An entry that is not copied yet is
// recorded without that flag: what there may be of it on the share is ours.
func (p *pass) commit(t *task) error {
	if g := p.scan.manifest.Group(t.path); g != nil && string(g.Stats) == string(t.state) && string(g.Flags) == string(t.flags) {
		return nil
	}
	return p.scan.manifest.Put(t.path, t.state, t.flags)
}
