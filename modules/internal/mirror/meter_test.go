package mirror

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cidx-cluster/modules/internal/progress/progresstest"
)

// Many processes, one state of the whole: told at least every second, with a
// rate and a remaining time that follow whichever is further behind.
func TestTheWholeIsToldEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, heard := progresstest.Listen(context.Background())
		begun := time.Now()
		m := newMeter(ctx, 8000, 100)
		for range 10 { // ten seconds, in each 100 bytes and ten files
			time.Sleep(time.Second)
			m.bytes.Add(100)
			m.files.Add(10)
		}
		m.Add(2000, 0)
		time.Sleep(900 * time.Millisecond)
		m.end()
		ended := time.Now()
		time.Sleep(time.Minute)

		told := *heard
		told.EverySecond(t, begun, ended)
		if len(told) == 0 {
			t.Fatal("nothing was told")
		}
		last := told[len(told)-1].Status
		if last == nil || last.What != "files" || last.Done != 1000 || last.Total != 10000 || last.Unit != "bytes" || last.Note != "100 of 100 files" {
			t.Errorf("told at the end: %+v", last)
		}
		if last.Rate < 90 || last.Rate > 110 || last.ETA < 80 || last.ETA > 100 {
			t.Errorf("rate %.1f bytes/s, %.1f s to go; want about 100 and 90", last.Rate, last.ETA)
		}
	})
}
