package files

import (
	"context"

	"cidx-cluster/modules/internal/share"
)

// watched runs work; when nothing moves for a while and the share does not
// answer, it returns without waiting for work.
func (c *copier) watched(ctx context.Context, work func(context.Context) error) error {
	w := share.Watch{Mount: c.share, Moves: c.meter.steps.Load, Silence: c.settings.silence, Patience: c.settings.patience}
	_, err := share.Guard(ctx, w, struct{}{}, func(ctx context.Context) (struct{}, error) { return struct{}{}, work(ctx) })
	return err
}
