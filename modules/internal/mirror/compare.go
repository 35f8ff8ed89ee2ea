package mirror

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// readers is how many files one chunk compares at once.
const readers = 4

// difference is one entry whose copy is not what the source is.
type difference struct {
	task  *task
	index int // of the entry; -1: the folder itself
	why   string
}

// compare reads back what was copied and not compared yet. A copy that differs
// is copied once more; if it still differs, that is an error.
func (p *pass) compare(ctx context.Context, tasks []*task) error {
	differing, err := p.differences(ctx, tasks)
	if err != nil || len(differing) == 0 {
		return err
	}
	var affected []*task
	for _, d := range differing {
		if d.index < 0 {
			return p.differ(d)
		}
		d.task.flags[d.index+1] = 0
		if !slices.Contains(affected, d.task) {
			affected = append(affected, d.task)
		}
		path := tree.Join(d.task.path, d.task.now.Entries[d.index].Name)
		p.result.add(&p.result.Repaired, p.target.Path(path)+": "+d.why)
	}
	if err := p.copyAgain(ctx, affected, differing); err != nil {
		return err
	}
	still, err := p.differences(ctx, affected)
	if err != nil {
		return err
	}
	if len(still) > 0 {
		return p.differ(still[0])
	}
	return nil
}

func (p *pass) differ(d difference) error {
	path := d.task.path
	if d.index >= 0 {
		path = tree.Join(path, d.task.now.Entries[d.index].Name)
	}
	return problem.Problem{
		What: "the copy differs from the source: " + d.why, At: p.target.Path(path),
		Fix: "check the share (it does not keep what is written), and run again",
	}
}

// copyAgain replaces copies that differ, one by one: whatever they were before,
// they become files of their own content.
func (p *pass) copyAgain(ctx context.Context, tasks []*task, differing []difference) error {
	for _, t := range tasks {
		made := t.made
		t.made, t.copy, t.other, t.late = false, nil, nil, nil
		for _, d := range differing {
			if d.task != t {
				continue
			}
			e := &t.now.Entries[d.index]
			further, err := p.decider.further(t, d.index)
			if err != nil {
				return err
			}
			switch {
			case e.IsSymlink():
				t.other = append(t.other, d.index)
			case further:
				t.late = append(t.late, d.index)
			default:
				t.alone(e.Name).again = true
				t.copy = append(t.copy, d.index)
			}
		}
		err := errors.Join(p.copyFiles(ctx, []*task{t}), p.makeLinks(t), p.linkLate(ctx, t))
		if err == nil {
			err = p.target.Settle(t.path, &t.now.Self)
		}
		t.made = made
		if err != nil {
			return err
		}
	}
	return nil
}

// differences compares what is copied but not verified in some folders, several
// files at a time, and marks what is equal.
func (p *pass) differences(ctx context.Context, tasks []*task) ([]difference, error) {
	type item struct {
		*task
		index int
	}
	var items []item
	for _, t := range tasks {
		all := p.Compare
		if (all || len(t.found) > 0) && !t.later {
			items = append(items, item{t, -1})
		}
		for i := range t.now.Entries {
			if flag := t.flags[i+1]; flag&manifest.Copied != 0 && flag&manifest.Verified == 0 && (all || t.found[i]) {
				items = append(items, item{t, i})
			}
		}
	}
	var mu sync.Mutex
	var list []difference
	err := inParallel(ctx, readers, items, func(_ context.Context, i item) error {
		why, err := p.compareEntry(i.task, i.index)
		if err == nil && why != "" {
			mu.Lock()
			list = append(list, difference{i.task, i.index, why})
			mu.Unlock()
		}
		p.meter.Moved()
		return err
	})
	return list, err
}

// compareEntry compares one entry, or with -1 the folder itself. Where the
// source has changed meanwhile there is no difference to tell: the entry counts
// as not copied, and the next pass copies it.
func (p *pass) compareEntry(t *task, i int) (why string, err error) {
	if i < 0 {
		c, err := p.target.Lstat(t.path)
		if err != nil {
			return "", share.Fault("look at", p.target.Path(t.path), err)
		}
		if t.path == "" {
			c.Mtime = t.now.Self.Mtime // the work folder comes and goes there; settleRoot puts it right
		}
		why = t.now.Self.Differs(&c, p.target.Grain)
		switch {
		case why == "":
			t.flags[0] |= manifest.Verified
		case t.moved.Load() && p.Live:
			why = "" // taking a copy back has changed its time; the next pass looks again
		}
		return why, nil
	}
	e := &t.now.Entries[i]
	path := tree.Join(t.path, e.Name)
	why, rest, err := p.equal(path, e)
	if errors.Is(err, errChanged) || why != "" && p.changed(path, e) {
		t.flags[i+1] = 0
		return "", p.moving(t, path)
	}
	if err != nil || why != "" {
		return why, err
	}
	t.flags[i+1] |= manifest.Verified
	if rest {
		t.flags[i+1] &^= manifest.Racy
	}
	p.result.Compared.Add(1)
	return "", nil
}

// sampled is one file that was compared before and is read once more.
type sampled struct {
	dir   string
	entry tree.Entry
}

// sample draws from the files of a folder that needs no work.
func (s *Scan) sample(d *tree.Dir) (list []sampled) {
	if s.percent <= 0 {
		return nil
	}
	for i := range d.Entries {
		if e := &d.Entries[i]; e.IsRegular() && !s.part.Rules.Apart(s.part.Source, d.Path, e) && rand.Float64()*100 < s.percent {
			list = append(list, sampled{d.Path, *e})
		}
	}
	return list
}

// sampleReaders is how many files are read at once; they wait for the share
// most of the time.
const sampleReaders = 16

// checkSample reads the sample and returns what differs without a change at the
// source.
func (p *pass) checkSample(ctx context.Context) (differing []string, err error) {
	var mu sync.Mutex
	err = inParallel(ctx, sampleReaders, p.scan.samples, func(_ context.Context, s sampled) error {
		path := tree.Join(s.dir, s.entry.Name)
		why, _, err := p.equal(path, &s.entry)
		if err == errChanged || why != "" && p.changed(path, &s.entry) {
			return nil
		}
		if err == nil && why != "" {
			mu.Lock()
			differing = append(differing, p.target.Path(path)+": "+why)
			mu.Unlock()
		}
		p.result.Sampled.Add(1)
		p.meter.Moved()
		return err
	})
	return differing, err
}
