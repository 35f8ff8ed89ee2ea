package mirror

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/rsync"
	"cidx-cluster/modules/internal/share"
)

// Options say how a copy goes.
type Options struct {
	Mount   string    // of the share
	Check   bool      // nothing is written
	Live    bool      // the source may change meanwhile: what does is the next pass's work
	Compare bool      // read back what was copied and not compared yet
	Reread  bool      // compare everything
	Sample  float64   // percent of the files compared earlier that are read once more
	Workers int       // rsync processes at once
	Network bool      // the share is on a network
	Grain   int64     // of the share's mtimes, in ns
	Written time.Time // when others may have written to the copy last
	Scratch string    // folder for what is too much to keep in memory
	Others  []*Part   // whose files may be further names of ours

	// Of tests.
	Window            int64         // bytes of the plan that are worked at together
	Rest              time.Duration // instead of racyWindow, for folders
	Silence, Patience time.Duration
	Syncfs            func(fd int) error // instead of the kernel's
}

// Mirror is one run over some parts.
type Mirror struct {
	Options
	Rsync *rsync.Program
	Meter *Meter // while it runs
	jobs  []*Job
	lost  bool // writes to the share, so that nothing of the copy is believed
}

// Lock keeps a second run out, and this one until the processes of a killed run
// are gone. They inherit the lock.
func (m *Mirror) Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			m.Rsync.Lock = f
			return func() { f.Close() }, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			f.Close()
			return nil, problem.Problem{What: "another copy is under way", At: path, Fix: "wait until it ends; fuser shows its processes"}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Run does work while a meter tells how far it is. When nothing moves for a while
// and the share does not answer, it returns without waiting for work.
func (m *Mirror) Run(ctx context.Context, work func(context.Context) error) error {
	bytes, files := m.Total()
	if m.Check {
		bytes, files = 0, 0
	}
	m.Meter = newMeter(ctx, bytes, files)
	defer m.Meter.end()
	w := share.Watch{Mount: m.Mount, Moves: m.Meter.steps.Load, Silence: m.Silence, Patience: m.Patience}
	_, err := share.Guard(ctx, w, struct{}{}, func(ctx context.Context) (struct{}, error) { return struct{}{}, work(ctx) })
	return err
}

// Work reports whether there is anything to do.
func (m *Mirror) Work() bool { return slices.ContainsFunc(m.jobs, (*Job).Work) }

// Total is what there is to copy.
func (m *Mirror) Total() (bytes, files int64) {
	for _, j := range m.jobs {
		bytes += j.Scan.Bytes
		files += j.Scan.Copies
	}
	return bytes, files
}

// wanted are the flags without which an entry needs work.
func (m *Mirror) wanted() byte {
	if !m.Compare {
		return manifest.Copied
	}
	return manifest.Copied | manifest.Verified
}

// impossible is a flag that no entry has: everything needs work.
const impossible byte = 1 << 7

// Open reads what earlier passes have left of a part and looks at its source.
func (m *Mirror) Open(ctx context.Context, p *Part) (*Job, error) {
	j := &Job{Part: p, Result: &Result{}}
	var err error
	if j.Record, err = readRecord(p); err != nil {
		return nil, err
	}
	if err := m.doubt(j); err != nil {
		return nil, err
	}
	if j.manifest, err = manifest.Open(p.Manifest); err != nil {
		return nil, err
	}
	if p.Found, err = manifest.ReadFindings(p.findings()); err != nil {
		return nil, err
	}
	if j.trust = trustIn(p, j.Record, m.Written); j.trust == worthless {
		p.Found = nil
		if m.Check { // in memory alone
			j.manifest = manifest.New()
		} else if j.Record, err = (Record{}), j.manifest.Forget(); err != nil {
			return nil, err
		}
	}
	c := criteria{want: m.wanted(), percent: m.Sample, dir: m.Scratch, rest: m.Rest}
	if j.trust == doubted || m.Reread {
		c.want = impossible
	}
	if j.Scan, err = look(ctx, p, j.manifest, c); err == nil {
		m.jobs = append(m.jobs, j)
	}
	return j, err
}

// Again looks at a part anew, after a pass. gone: the source is there no more.
func (m *Mirror) Again(ctx context.Context, j *Job) (gone bool, err error) {
	j.trust = trusted
	now, err := look(ctx, j.Part, j.manifest, criteria{want: m.wanted(), dir: m.Scratch})
	if err != nil {
		return false, err
	}
	gone = j.Scan.Census.Folders > 0 && now.Census.Folders == 0
	j.Scan.close()
	j.Scan = now
	return gone, nil
}

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

// Meter adds up what all processes have done and tells it.
type Meter struct {
	totalBytes atomic.Int64
	totalFiles atomic.Int64
	bytes      atomic.Int64
	files      atomic.Int64
	compared   atomic.Int64 // bytes read back
	steps      atomic.Int64 // anything that moved, for the watchdog
	started    time.Time
	end        func()
}

// newMeter starts telling the state twice a second until end is called.
func newMeter(ctx context.Context, bytes, files int64) *Meter {
	m := &Meter{started: time.Now()}
	m.Add(bytes, files)
	m.end = progress.Every(ctx, 500*time.Millisecond, func() { m.tell(ctx) })
	return m
}

// copied counts what more was copied.
func (m *Meter) copied(bytes, files int64) {
	m.bytes.Add(bytes)
	m.files.Add(files)
	m.Moved()
}

// Add makes the work larger.
func (m *Meter) Add(bytes, files int64) {
	m.totalBytes.Add(bytes)
	m.totalFiles.Add(files)
}

// tell reports bytes as the unit; many small files make progress in files only,
// so that the remaining time comes from whichever is further behind.
func (m *Meter) tell(ctx context.Context) {
	seconds := time.Since(m.started).Seconds()
	bytes, files := m.bytes.Load(), m.files.Load()
	s := progress.Status{What: "files", Done: bytes, Total: m.totalBytes.Load(), Unit: "bytes", Rate: float64(bytes) / seconds}
	s.Note = fmt.Sprintf("%s of %s", human.Number(files), human.Count(m.totalFiles.Load(), "file", "files"))
	if compared := m.compared.Load(); compared > 0 {
		s.Note += fmt.Sprintf(", %s compared", human.Bytes(compared))
	}
	done := min(fraction(bytes, s.Total), fraction(files, m.totalFiles.Load()))
	if done > 0 && done < 1 {
		s.ETA = seconds * (1 - done) / done
	}
	progress.Report(ctx, s)
}

func fraction(done, total int64) float64 {
	if total <= 0 {
		return 1
	}
	return float64(done) / float64(total)
}

// Moved counts progress of any kind.
func (m *Meter) Moved() { m.steps.Add(1) }
