// Package progresstest lets tests look at what a step tells while it runs.
package progresstest

import (
	"context"
	"testing"
	"time"

	"cidx-cluster/modules/internal/progress"
)

// Told are events, in the order in which they came.
type Told []progress.Event

// Listen returns a context whose events are kept in the answer. They must come
// one after another.
func Listen(ctx context.Context) (context.Context, *Told) {
	told := new(Told)
	return progress.With(ctx, func(e progress.Event) { *told = append(*told, e) }), told
}

// EverySecond wants no longer silence than a second between begun and ended.
func (told Told) EverySecond(t testing.TB, begun, ended time.Time) {
	t.Helper()
	before := begun
	for _, e := range append(told[:len(told):len(told)], progress.Event{Time: ended}) {
		if gap := e.Time.Sub(before); gap > time.Second {
			t.Errorf("silent for %s after %s", gap, before.Sub(begun))
		}
		before = e.Time
	}
}
