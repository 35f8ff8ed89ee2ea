package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/sqlite"
)

// copyTables loads every table that is not there yet.
func (p *passage) copyTables(ctx context.Context) error {
	if p.all {
		return p.nameRefused(ctx)
	}
	p.meter.whole(p.tables.totals().work)
	var empty []string
	for _, t := range p.tables {
		if t.status == statusKept {
			p.tell(ctx, "  Keeping %s... %s OK (already there)", t.Name, human.Count(t.rows, "row", "rows"))
			continue
		}
		if t.conn == nil {
			continue
		}
		if err := p.copyTable(ctx, t); err != nil {
			return err
		}
		p.meter.end()
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
	d, err := t.read(false)
	if err != nil {
		return err
	}
	defer d.rows.Close()
	p.meter.begin(t.Name, t.rows, "")
	s := streamRows(ctx, d, p.meter)
	_, err = p.conn.CopyFrom(ctx, s, t.copyFrom())
	if err := s.end(err); err != nil {
		return fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.sum, t.rows, t.status, t.tally = s.enc.sum, s.enc.sum.Rows, statusLoaded, d.tally
	p.doubtTimes(t.table, s.enc.columns)
	p.doubtReferences(t.table)
	return nil
}

// doubtTimes tells of times whose zone is a guess; columns are those of the encoder
// that they went through.
func (w *work) doubtTimes(t *table, columns []column) {
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
		if parent == nil || parent.conn != t.conn {
			continue
		}
		if _, ok := t.from.Column(from); !ok {
			continue
		}
		n, err := t.number("SELECT count(*) FROM " + sqlite.Quote(t.from.Name) + " c WHERE c." + sqlite.Quote(from) +
			" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " + sqlite.Quote(parent.from.Name) + " p WHERE p." +
			sqlite.Quote(column) + " = c." + sqlite.Quote(from) + ")")
		if err == nil && n > 0 {
			w.warnings.add("%s.%s: %s of rows of %s that do not exist; moved unchanged", t.Name, from,
				human.Count(n, "reference", "references"), name)
		}
	}
}
