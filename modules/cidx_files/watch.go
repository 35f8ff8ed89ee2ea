package files

import (
	"cmp"
	"context"
	"time"

	"cidx-cluster/modules/internal/share"
)

// The watchdog asks the share after some silence, and gives it some time to
// answer: a run that hangs ends with a message after about both together.
const (
	silence  = 5 * time.Second
	patience = 8 * time.Second
)

// watched runs work; when nothing moves for a while and the share does not
// answer a probe, it returns without waiting for work, whose calls may never
// come back. The process ends soon after.
func (c *copier) watched(ctx context.Context, work func(context.Context) error) error {
	silence, patience := cmp.Or(c.settings.silence, silence), cmp.Or(c.settings.patience, patience)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, since := c.meter.steps.Load(), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		if now := c.meter.steps.Load(); now != last {
			last, since = now, time.Now()
			continue
		}
		if time.Since(since) < silence {
			continue
		}
		if err := share.Alive(ctx, c.share, patience); err != nil {
			select {
			case err := <-done:
				return err
			default:
			}
			return err
		}
		since = time.Now()
	}
}
