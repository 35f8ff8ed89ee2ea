package database

import (
	"context"
	"sync"
	"time"

	"cidx-cluster/modules/internal/progress"
)

// meter tells how far the current piece of work is, at least once in every
// interval, also while the server works alone. A nil meter does nothing.
type meter struct {
	mu    sync.Mutex
	now   progress.Status
	since time.Time
	quit  chan struct{}
	done  chan struct{}
}

func startMeter(ctx context.Context, seconds float64) *meter {
	if seconds <= 0 {
		seconds = 1
	}
	m := &meter{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		tick := time.NewTicker(time.Duration(seconds * float64(time.Second)))
		defer tick.Stop()
		for {
			select {
			case <-m.quit:
				return
			case <-tick.C:
				m.report(ctx)
			}
		}
	}()
	return m
}

func (m *meter) report(ctx context.Context) {
	m.mu.Lock()
	s, elapsed := m.now, time.Since(m.since).Seconds()
	m.mu.Unlock()
	if s.What == "" {
		return
	}
	if s.Done > 0 && elapsed > 0 {
		s.Rate = float64(s.Done) / elapsed
		if s.Total > s.Done {
			s.ETA = float64(s.Total-s.Done) / s.Rate
		}
	}
	progress.Report(ctx, s)
}

// begin names the work; total is 0 if unknown.
func (m *meter) begin(what string, total int64, note string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.now, m.since = progress.Status{What: what, Total: total, Unit: "rows", Note: note}, time.Now()
	m.mu.Unlock()
}

// at sets how many rows are done.
func (m *meter) at(done int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.now.Done = done
	m.mu.Unlock()
}

func (m *meter) stop() {
	if m == nil {
		return
	}
	close(m.quit)
	<-m.done
}
