package files

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/progress"
)

// meter adds up what all processes have done and tells it.
type meter struct {
	what       string
	totalBytes atomic.Int64
	totalFiles atomic.Int64
	bytes      atomic.Int64
	files      atomic.Int64
	compared   atomic.Int64 // bytes read back
	steps      atomic.Int64 // anything that moved, for the watchdog
	started    time.Time
	stop       context.CancelFunc
	waiting    sync.WaitGroup
	interval   time.Duration
}

// newMeter starts telling the state twice a second until end is called.
func newMeter(ctx context.Context, what string, bytes, files int64) *meter {
	m := &meter{what: what, started: time.Now(), interval: 500 * time.Millisecond}
	m.add(bytes, files)
	ctx, m.stop = context.WithCancel(ctx)
	m.waiting.Go(func() {
		tick := time.NewTicker(m.interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.tell(ctx)
			}
		}
	})
	return m
}

// add makes the work larger.
func (m *meter) add(bytes, files int64) {
	m.totalBytes.Add(bytes)
	m.totalFiles.Add(files)
}

func (m *meter) end() {
	m.stop()
	m.waiting.Wait()
}

// tell reports bytes as the unit; many small files make progress in files only,
// so that the remaining time comes from whichever is further behind.
func (m *meter) tell(ctx context.Context) {
	seconds := time.Since(m.started).Seconds()
	bytes, files := m.bytes.Load(), m.files.Load()
	s := progress.Status{What: m.what, Done: bytes, Total: m.totalBytes.Load(), Unit: "bytes", Rate: float64(bytes) / seconds}
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

// moved counts progress of any kind.
func (m *meter) moved() { m.steps.Add(1) }
