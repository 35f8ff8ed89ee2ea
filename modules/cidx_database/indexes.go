package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/postgres"
)

// dropIndexes drops the indexes and foreign keys of large tables for the time
// of the load. Without ownership they stay, and the load is slower.
func (r *runner) dropIndexes(ctx context.Context) (*postgres.Rebuild, error) {
	var large []*postgres.Table
	var names []string
	for _, t := range r.plan.tables {
		switch {
		case !t.large || t.status == statusKept || t.conn == nil:
		case !t.to.Owned:
			r.warnings.add("table %s belongs to another role: its indexes stay while its %s rows are loaded, which takes longer", t.Name, thousands(t.rows))
		default:
			large = append(large, t.to)
			if t.guests == nil {
				names = append(names, t.to.Qualified())
			}
		}
	}
	if len(large) == 0 {
		return nil, nil
	}
	rebuild, err := postgres.PlanRebuild(ctx, r.conn, large)
	if err != nil {
		return nil, err
	}
	for _, kept := range rebuild.Kept {
		r.warnings.add("stays while a large table is loaded: %s", kept)
	}
	// What waits for the commit because of rows that were deleted or moved runs
	// now: PostgreSQL alters no table for which something waits.
	if err := postgres.Run(ctx, r.conn, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return nil, fmt.Errorf("run deferred constraints and triggers: %w", err)
	}
	if err := rebuild.Drop(ctx, r.conn); err != nil {
		return nil, err
	}
	if len(rebuild.Kept) == 0 && len(names) > 0 {
		// COPY FREEZE wants a table that this transaction has truncated.
		if err := postgres.Run(ctx, r.conn, "TRUNCATE "+strings.Join(names, ", ")); err != nil {
			return nil, fmt.Errorf("truncate: %w", err)
		}
		for _, t := range r.plan.tables {
			t.frozen = t.large && t.to.Owned && t.conn != nil && t.status != statusKept && t.guests == nil
		}
	}
	return rebuild, nil
}

func (r *runner) rebuildIndexes(ctx context.Context, rebuild *postgres.Rebuild) error {
	if rebuild == nil {
		return nil
	}
	const memory = `SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB'))::text || 'B', true)`
	if err := postgres.Run(ctx, r.conn, memory); err != nil {
		return fmt.Errorf("rebuild indexes: %w", err)
	}
	return rebuild.Create(ctx, r.conn, func(statement string) {
		r.meter.begin("building indexes", 0, strings.Join(strings.Fields(statement)[:min(6, len(strings.Fields(statement)))], " "))
	})
}
