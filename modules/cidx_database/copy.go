package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

// copyTables loads every table that is not there yet.
func (p *passage) copyTables(ctx context.Context) error {
	if p.all {
		return p.nameRefused(ctx)
	}
	p.meter.Whole(p.tables.totals().work)
	var empty []string
	for _, t := range p.tables {
		if t.status == statusKept {
			p.tell(ctx, "  Keeping %s... %s OK (already there)", t.Name, human.Count(t.rows, "row", "rows"))
			continue
		}
		if t.Conn == nil {
			continue
		}
		if err := p.copyTable(ctx, t); err != nil {
			return err
		}
		p.meter.End()
		if t.rows == 0 {
			empty = append(empty, t.Name)
			continue
		}
		p.tell(ctx, "  Migrating %s... %s OK", t.Name, human.Count(t.rows, "row", "rows"))
	}
	if len(empty) > 0 {
		p.tell(ctx, "  %s", emptyTables("Migrating", empty))
	}
	return nil
}

// emptyTables is a line about tables without a row, of a width that no terminal
// wraps; the report names all of them.
func emptyTables(does string, names []string) string {
	line := fmt.Sprintf("%s %s without a row: ", does, human.Count(len(names), "table", "tables"))
	const most = 78
	for i, name := range names {
		if i > 0 {
			name = ", " + name
		}
		if rest := fmt.Sprintf(" and %d more", len(names)-i); i > 0 && i < len(names) && len(line)+len(name)+len(rest) > most {
			return line + rest
		}
		line += name
	}
	return line
}

func (p *passage) copyTable(ctx context.Context, t *transfer) error {
	d, err := t.Read(t.left, false)
	if err != nil {
		return err
	}
	defer d.Stop()
	p.meter.Begin(t.Name, t.rows, "")
	s := load.StreamRows(ctx, d, p.meter)
	_, err = p.conn.CopyFrom(ctx, s, t.CopyFrom(t.frozen))
	if err := s.End(err); err != nil {
		return fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.sum, t.rows, t.status, t.tally = s.Enc.Sum, s.Enc.Sum.Rows, statusLoaded, d.Tally
	p.doubtTimes(t.table, s.Enc.Columns)
	p.doubtReferences(t.table)
	return nil
}

// doubtTimes tells of times whose zone is a guess; columns are those of the encoder
// that they went through.
func (w *work) doubtTimes(t *table, columns []load.Column) {
	for _, c := range columns {
		if c.Assumed > 0 {
			w.warnings.add("%s.%s: no offset in %s; taken as UTC", t.Name, c.Name, human.Count(c.Assumed, "time", "times"))
		}
		if c.Ambiguous > 0 {
			w.warnings.add("%s.%s: %d local times fall into a change of the clocks; the earlier moment is taken",
				t.Name, c.Name, c.Ambiguous)
		}
	}
}

// doubtReferences tells of references that only SQLite declares: PostgreSQL takes
// such rows, so they move as they are.
func (w *work) doubtReferences(t *table) {
	for from, to := range t.Checked {
		name, column, _ := strings.Cut(to, ".")
		parent := w.plan.table(name)
		if parent == nil || parent.Conn != t.Conn {
			continue
		}
		if _, ok := t.From.Column(from); !ok {
			continue
		}
		n, err := t.Number("SELECT count(*) FROM " + sqlite.Quote(t.From.Name) + " c WHERE c." + sqlite.Quote(from) +
			" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " + sqlite.Quote(parent.From.Name) + " p WHERE p." +
			sqlite.Quote(column) + " = c." + sqlite.Quote(from) + ")")
		if err == nil && n > 0 {
			w.warnings.add("%s.%s: %s of rows of %s that do not exist; moved unchanged", t.Name, from,
				human.Count(n, "reference", "references"), name)
		}
	}
}

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
		case !t.large || t.status == statusKept || t.Conn == nil || t.To.Partitioned || t.Grows && p.args.Phase == phaseWarm:
		case !t.To.Owned:
			p.warnings.add("table %s belongs to another role: its indexes stay while its %s rows are loaded, which takes longer", t.Name,
				human.Number(t.rows))
		default:
			large, targets = append(large, t), append(targets, t.To)
			if t.guests == nil {
				names = append(names, t.To.Qualified())
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
		p.meter.Begin("building indexes", 0, strings.Join(strings.Fields(statement)[:min(6, len(strings.Fields(statement)))], " "))
	})
}
