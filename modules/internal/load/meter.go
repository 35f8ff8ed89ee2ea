package load

import (
	"context"
	"sync"
	"time"

	"cidx-cluster/modules/internal/progress"
)

// Meter tells how far the current piece of work is and, where all of it was
// announced, how far the whole is; at least once in every second, also while
// the server works alone.
type Meter struct {
	mu    sync.Mutex
	now   progress.Status // no What: nothing is told
	since time.Time
	all   int64     // rows of the whole work; 0 if unknown
	past  int64     // rows of the pieces that have ended
	start time.Time // of the whole
	Stop  func()
}

func StartMeter(ctx context.Context) *Meter {
	m := &Meter{}
	m.Stop = progress.Every(ctx, time.Second, func() { m.report(ctx) })
	return m
}

// report holds the lock until the status is told: after end none of that piece follows.
func (m *Meter) report(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.now
	if s.What == "" {
		return
	}
	if elapsed := time.Since(m.since).Seconds(); s.Done > 0 && elapsed > 0 {
		s.Rate = float64(s.Done) / elapsed
		if s.Total > s.Done {
			s.ETA = float64(s.Total-s.Done) / s.Rate
		}
	}
	if through := m.past + min(s.Done, s.Total); m.all > through && through > 0 {
		s.Whole = float64(through) / float64(m.all)
		s.ETA = time.Since(m.start).Seconds() * (1 - s.Whole) / s.Whole
	}
	progress.Report(ctx, s)
}

// Whole announces that many rows of work, in pieces.
func (m *Meter) Whole(rows int64) {
	m.mu.Lock()
	m.now, m.all, m.past, m.start = progress.Status{}, rows, 0, time.Now()
	m.mu.Unlock()
}

// Begin names a piece of work; total is 0 if unknown.
func (m *Meter) Begin(what string, total int64, note string) {
	m.mu.Lock()
	m.past += m.now.Total
	m.now, m.since = progress.Status{What: what, Total: total, Unit: "rows", Note: note}, time.Now()
	m.mu.Unlock()
}

// End says that the piece is over.
func (m *Meter) End() { m.Begin("", 0, "") }

// At sets how many rows are done.
func (m *Meter) At(done int64) {
	m.mu.Lock()
	m.now.Done = done
	m.mu.Unlock()
}
