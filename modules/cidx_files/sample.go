package files

import (
	"context"
	"math/rand/v2"
	"sync"

	"cidx-cluster/modules/internal/tree"
)

// sampled is one file that was compared before and is read once more.
type sampled struct {
	dir   string
	entry tree.Entry
}

// sample draws from the files of a folder that needs no work.
func (s *scan) sample(d *tree.Dir) (list []sampled) {
	if s.percent <= 0 {
		return nil
	}
	for i := range d.Entries {
		if e := &d.Entries[i]; e.IsRegular() && !s.part.alias(s.part.source, d.Path, e) && rand.Float64()*100 < s.percent {
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
			differing = append(differing, p.target.path(path)+": "+why)
			mu.Unlock()
		}
		p.result.sampled.Add(1)
		p.meter.moved()
		return err
	})
	return differing, err
}
