package share

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Silence and Patience are the defaults of a Watch: together they keep the
// message about a share that hangs within 10 seconds.
const (
	Silence  = 2 * time.Second
	Patience = 7 * time.Second
)

// Watch says how Guard looks after a share.
type Watch struct {
	Mount    string        // the mount point; "" is not watched
	Moves    func() int64  // counts the work's steps; while it changes the share is not asked
	Silence  time.Duration // between questions, or without a step; 0: Silence
	Patience time.Duration // for an answer; 0: Patience
}

// Guard runs work that touches a share. When the share stops answering it
// returns lost and a problem.Problem without waiting for work, whose calls may
// never come back: the process should end soon, as if it had been killed there.
func Guard[T any](ctx context.Context, w Watch, lost T, work func(context.Context) (T, error)) (T, error) {
	if w.Mount == "" {
		return work(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan outcome[T], 1)
	go func() { ended <- attempt(ctx, work) }()
	hung := make(chan error, 1)
	go func() { hung <- w.watch(ctx) }()
	select {
	case o := <-ended:
		return o.result()
	case err := <-hung:
		select {
		case o := <-ended:
			return o.result()
		default:
		}
		if err == nil { // interrupted: the work will say how far it came
			return (<-ended).result()
		}
		return lost, err
	}
}

// watch asks the share until it does not answer, or until ctx ends (nil).
func (w Watch) watch(ctx context.Context) error {
	silence, patience := cmp.Or(w.Silence, Silence), cmp.Or(w.Patience, Patience)
	moves := func() int64 { return 0 }
	if w.Moves != nil {
		moves = w.Moves
	}
	tick := time.NewTicker(min(silence, 500*time.Millisecond))
	defer tick.Stop()
	last, since := moves(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if now := moves(); now != last {
			last, since = now, time.Now()
			continue
		}
		if time.Since(since) < silence {
			continue
		}
		if err := Alive(ctx, w.Mount, patience); err != nil && ctx.Err() == nil {
			return err
		}
		since = time.Now()
	}
}

// outcome is how work ended.
type outcome[T any] struct {
	value T
	err   error
	panic any
}

// attempt runs work and keeps its panic: nobody above this goroutine catches it.
func attempt[T any](ctx context.Context, work func(context.Context) (T, error)) (o outcome[T]) {
	defer func() {
		if cause := recover(); cause != nil {
			o.panic = fmt.Sprintf("%v\n%s", cause, debug.Stack())
		}
	}()
	o.value, o.err = work(ctx)
	return o
}

// result returns to the caller what work returned, its panic included.
func (o outcome[T]) result() (T, error) {
	if o.panic != nil {
		panic(o.panic)
	}
	return o.value, o.err
}
