package database

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cidx-cluster/modules/internal/progress/progresstest"
)

// A large table is told at least every second, also while the server works
// alone and no row moves.
func TestALargeTableIsToldEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, heard := progresstest.Listen(context.Background())
		begun := time.Now()
		m := startMeter(ctx, 0) // 0: the default
		m.begin("audit_logs", 1000, "")
		time.Sleep(4500 * time.Millisecond)
		m.at(400)
		time.Sleep(600 * time.Millisecond)
		m.begin("building indexes", 0, "CREATE INDEX")
		time.Sleep(5 * time.Second)
		m.stop()

		told := *heard
		told.EverySecond(t, begun, time.Now())
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
