package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
)

// dropIndexes drops the indexes and foreign keys of large tables for the time
// of the load. Without ownership they stay, and the load is slower. Where all that
// is refused is to be named, they are made again at once: rows are then refused
// one by one.
func (p *passage) dropIndexes(ctx context.Context) error {
	var large transfers
	var targets []*postgres.Table
	var names []string
	for _, t := range p.tables {
		switch {
		case !t.large || t.status == statusKept || t.conn == nil || t.to.Partitioned || t.Grows && p.args.Phase == phaseWarm:
		case !t.to.Owned:
			p.warnings.add("table %s belongs to another role: its indexes stay while its %s rows are loaded, which takes longer", t.Name,
				human.Number(t.rows))
		default:
			large, targets = append(large, t), append(targets, t.to)
			if t.guests == nil {
				names = append(names, t.to.Qualified())
			}
		}
	}
	if len(large) == 0 {
		return nil
	}
	rebuild, err := postgres.PlanRebuild(ctx, p.conn, targets)
	if err != nil {
		return err
	}
	p.rebuild = rebuild
	for _, kept := range rebuild.Kept {
		p.warnings.add("stays while a large table is loaded: %s", kept)
	}
	// What waits for the commit because of rows that were deleted or moved runs
	// now: PostgreSQL alters no table for which something waits.
	if err := postgres.Run(ctx, p.conn, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return fmt.Errorf("run deferred constraints and triggers: %w", err)
	}
	if err := rebuild.Drop(ctx, p.conn); err != nil {
		return err
	}
	if len(rebuild.Kept) == 0 && len(names) > 0 {
		// COPY FREEZE wants a table that this transaction has truncated.
		if err := postgres.Run(ctx, p.conn, "TRUNCATE "+strings.Join(names, ", ")); err != nil {
			return fmt.Errorf("truncate: %w", err)
		}
		for _, t := range large {
			t.frozen = t.guests == nil
		}
	}
	if p.all {
		return p.rebuildIndexes(ctx)
	}
	return nil
}

func (p *passage) rebuildIndexes(ctx context.Context) error {
	if p.rebuild == nil {
		return nil
	}
	const memory = `SELECT set_config('maintenance_work_mem',
		greatest(pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB'))::text || 'B', true)`
	if err := postgres.Run(ctx, p.conn, memory); err != nil {
		return fmt.Errorf("rebuild indexes: %w", err)
	}
	rebuild := p.rebuild
	p.rebuild = nil
	return rebuild.Create(ctx, p.conn, func(statement string) {
		p.meter.begin("building indexes", 0, strings.Join(strings.Fields(statement)[:min(6, len(strings.Fields(statement)))], " "))
	})
}
