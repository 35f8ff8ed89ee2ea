package load

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
		m := StartMeter(ctx)
		m.Begin("audit_logs", 1000, "")
		time.Sleep(4500 * time.Millisecond)
		m.At(400)
		time.Sleep(600 * time.Millisecond)
		m.Begin("building indexes", 0, "CREATE INDEX")
		time.Sleep(5 * time.Second)
		m.Stop()

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

// An operator in the window wants to know when all of it is over; and what has
// ended is not told any more.
func TestTheWholeLoadIsToldWithTheTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, heard := progresstest.Listen(context.Background())
		m := StartMeter(ctx)
		m.Whole(1000)
		m.Begin("users", 400, "")
		m.At(300)
		time.Sleep(4500 * time.Millisecond)
		m.At(400)
		m.End()
		m.Begin("audit_logs", 600, "")
		m.At(100)
		time.Sleep(600 * time.Millisecond)
		m.End()
		time.Sleep(5 * time.Second)
		m.Stop()

		told := *heard
		if len(told) != 5 {
			t.Fatalf("told %d times in five seconds of work and five of none", len(told))
		}
		if s := told[3].Status; s.What != "users" || s.Whole != 0.3 {
			t.Errorf("after 300 of 1000 rows: %+v", s)
		}
		if s := told[4].Status; s.What != "audit_logs" || s.Done != 100 || s.Total != 600 || s.Whole != 0.5 || s.ETA != 5 {
			t.Errorf("after half of all rows in five seconds: %+v", s)
		}
	})
}
