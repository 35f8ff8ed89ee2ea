package database

import (
	"context"
	"fmt"
	"strconv"
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

// sequence is a sequence of a table that is loaded.
type sequence struct {
	t       *table
	name    string
	highest int64 // id that it must not give out again
}

// setSequences puts every sequence above the highest id of its table, on either
// side. It is transactional where the table is ours; for the others, setval()
// has to wait until nothing but the commit is left.
func (r *runner) setSequences(ctx context.Context) error {
	list, err := r.sequences(ctx)
	if err != nil {
		return err
	}
	var statements []string
	for _, s := range list {
		if s.t.to.Owned {
			statements = append(statements, fmt.Sprintf("ALTER SEQUENCE %s RESTART WITH %d", s.name, s.highest+1))
		} else {
			r.late = append(r.late, fmt.Sprintf("SELECT setval(%s, %d)", postgres.Literal(s.name), s.highest))
		}
	}
	if len(statements) == 0 {
		return nil
	}
	if err := postgres.Run(ctx, r.conn, strings.Join(statements, "; ")); err != nil {
		return fmt.Errorf("set sequences: %w", err)
	}
	return nil
}

// sequences lists those that are too low.
func (r *runner) sequences(ctx context.Context) ([]sequence, error) {
	var list, low []sequence
	var parts []string
	for _, t := range r.plan.tables {
		for _, c := range t.to.Columns {
			if c.Sequence == "" {
				continue
			}
			s := sequence{t: t, name: c.Sequence}
			if t.conn != nil {
				var err error
				if s.highest, err = t.conn.Sequence(t.from.Name); err != nil {
					return nil, err
				}
			}
			list = append(list, s)
			parts = append(parts, "(SELECT coalesce(max("+postgres.Quote(c.Name)+"), 0) FROM "+t.to.Qualified()+")",
				"(SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM "+c.Sequence+")")
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	rows, err := postgres.Rows(ctx, r.conn, "SELECT "+strings.Join(parts, ", "))
	if err != nil {
		return nil, fmt.Errorf("read sequences: %w", err)
	}
	for i, s := range list {
		highest, _ := strconv.ParseInt(string(rows[0][2*i]), 10, 64)
		current, _ := strconv.ParseInt(string(rows[0][2*i+1]), 10, 64)
		if s.highest = max(highest, s.highest); s.highest > current {
			low = append(low, s)
		}
	}
	return low, nil
}
