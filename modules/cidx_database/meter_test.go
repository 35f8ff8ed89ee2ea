package database

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cidx-cluster/modules/internal/progress"
)

// A large table is told at least every second, also while the server works
// alone and no row moves.
func TestALargeTableIsToldEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []progress.Event
		ctx := progress.With(context.Background(), func(e progress.Event) { told = append(told, e) })
		begun := time.Now()
		m := startMeter(ctx, 0) // 0: the default
		m.begin("audit_logs", 1000, "")
		time.Sleep(4500 * time.Millisecond)
		m.at(400)
		time.Sleep(600 * time.Millisecond)
		m.begin("building indexes", 0, "CREATE INDEX")
		time.Sleep(5 * time.Second)
		m.stop()

		before := begun.UTC()
		for _, e := range told {
			if gap := e.Time.Sub(before); gap > time.Second {
				t.Errorf("silent for %s after %s", gap, before.Sub(begun))
			}
			before = e.Time
		}
		if len(told) < 9 {
			t.Fatalf("told %d times in ten seconds", len(told))
		}
		if s := told[4].Status; s == nil || s.What != "audit_logs" || s.Done != 400 || s.Rate != 80 || s.ETA != 7.5 {
			t.Errorf("after 400 of 1000 rows in five seconds: %+v", s)
		}
		if s := told[len(told)-1].Status; s == nil || s.What != "building indexes" || s.Note != "CREATE INDEX" {
			t.Errorf("at the end: %+v", s)
		}
	})
}
