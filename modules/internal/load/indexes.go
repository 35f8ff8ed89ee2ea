package load

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
)

// DropIndexes drops the indexes and foreign keys of large tables for the time
// of the load. Without ownership they stay, and the load is slower. Where all that
// is refused is to be named, they are made again at once: rows are then refused
// one by one.
func (p *Passage) DropIndexes(ctx context.Context) error {
	var large Transfers
	var targets []*postgres.Table
	var names []string
	for _, t := range p.Tables {
		switch {
		case !t.Large || t.Status == StatusKept || t.Conn == nil || t.To.Partitioned || t.Grows && p.Online:
		case !t.To.Owned:
			p.Warnings.Add("table %s belongs to another role: its indexes stay while its %s rows are loaded, which takes longer", t.Name,
				human.Number(t.Rows))
		default:
			large, targets = append(large, t), append(targets, t.To)
			if t.Guests == nil {
				names = append(names, t.To.Qualified())
			}
		}
	}
	if len(large) == 0 {
		return nil
	}
	rebuild, err := postgres.PlanRebuild(ctx, p.Conn, targets)
	if err != nil {
		return err
	}
	p.rebuild = rebuild
	for _, kept := range rebuild.Kept {
		p.Warnings.Add("stays while a large table is loaded: %s", kept)
	}
	// What waits for the commit because of rows that were deleted or moved runs
	// now: PostgreSQL alters no table for which something waits.
	if err := postgres.Run(ctx, p.Conn, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return fmt.Errorf("run deferred constraints and triggers: %w", err)
	}
	if err := rebuild.Drop(ctx, p.Conn); err != nil {
		return err
	}
	if len(rebuild.Kept) == 0 && len(names) > 0 {
		// COPY FREEZE wants a table that this transaction has truncated.
		if err := postgres.Run(ctx, p.Conn, "TRUNCATE "+strings.Join(names, ", ")); err != nil {
			return fmt.Errorf("truncate: %w", err)
		}
		for _, t := range large {
			t.frozen = t.Guests == nil
		}
	}
	if p.All {
		return p.RebuildIndexes(ctx)
	}
	return nil
}

// RebuildIndexes makes again what was dropped.
func (p *Passage) RebuildIndexes(ctx context.Context) error {
	if p.rebuild == nil {
		return nil
	}
	const memory = `SELECT set_config('maintenance_work_mem',
		greatest(pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB'))::text || 'B', true)`
	if err := postgres.Run(ctx, p.Conn, memory); err != nil {
		return fmt.Errorf("rebuild indexes: %w", err)
	}
	rebuild := p.rebuild
	p.rebuild = nil
	return rebuild.Create(ctx, p.Conn, func(statement string) {
		p.Meter.Begin("building indexes", 0, strings.Join(strings.Fields(statement)[:min(6, len(strings.Fields(statement)))], " "))
	})
}
