package load

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/sqlite"
)

// CopyTables loads every table that is not there yet.
func (p *Passage) CopyTables(ctx context.Context) error {
	if p.All {
		return p.nameRefused(ctx)
	}
	p.Meter.Whole(p.Tables.Totals().work)
	var empty []string
	for _, t := range p.Tables {
		if t.Status == StatusKept {
			p.tell(ctx, "  Keeping %s... %s OK (already there)", t.Name, human.Count(t.Rows, "row", "rows"))
			continue
		}
		if t.Conn == nil {
			continue
		}
		if err := p.copyTable(ctx, t); err != nil {
			return err
		}
		p.Meter.End()
		if t.Rows == 0 {
			empty = append(empty, t.Name)
			continue
		}
		p.tell(ctx, "  Migrating %s... %s OK", t.Name, human.Count(t.Rows, "row", "rows"))
	}
	if len(empty) > 0 {
		p.tell(ctx, "  %s", EmptyTables("Migrating", empty))
	}
	return nil
}

// EmptyTables is a line about tables without a row, of a width that no terminal
// wraps; the report names all of them.
func EmptyTables(does string, names []string) string {
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

func (p *Passage) copyTable(ctx context.Context, t *Transfer) error {
	d, err := t.Read(t.Left, false)
	if err != nil {
		return err
	}
	defer d.Stop()
	p.Meter.Begin(t.Name, t.Rows, "")
	s := streamRows(ctx, d, p.Meter)
	_, err = p.Conn.CopyFrom(ctx, s, t.CopyFrom(t.frozen))
	if err := s.End(err); err != nil {
		return fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.Sum, t.Rows, t.Status, t.Tally = s.enc.Sum, s.enc.Sum.Rows, StatusLoaded, d.Tally
	p.DoubtTimes(t.Table, s.enc.Columns)
	p.DoubtReferences(t)
	return nil
}

// DoubtTimes tells of times whose zone is a guess; columns are those of the encoder
// that they went through.
func (n *Notes) DoubtTimes(t *Table, columns []Column) {
	for _, c := range columns {
		if c.Assumed > 0 {
			n.Warnings.Add("%s.%s: no offset in %s; taken as UTC", t.Name, c.Name, human.Count(c.Assumed, "time", "times"))
		}
		if c.Ambiguous > 0 {
			n.Warnings.Add("%s.%s: %d local times fall into a change of the clocks; the earlier moment is taken",
				t.Name, c.Name, c.Ambiguous)
		}
	}
}

// DoubtReferences tells of references that only SQLite declares: PostgreSQL takes
// such rows, so they move as they are.
func (p *Passage) DoubtReferences(t *Transfer) {
	for from, to := range t.Checked {
		name, column, _ := strings.Cut(to, ".")
		parent := p.Every.Find(name)
		if parent == nil || parent.Conn != t.Conn {
			continue
		}
		if _, ok := t.From.Column(from); !ok {
			continue
		}
		n, err := t.Conn.Number("SELECT count(*) FROM " + sqlite.Quote(t.From.Name) + " c WHERE c." + sqlite.Quote(from) +
			" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " + sqlite.Quote(parent.From.Name) + " p WHERE p." +
			sqlite.Quote(column) + " = c." + sqlite.Quote(from) + ")")
		if err == nil && n > 0 {
			p.Warnings.Add("%s.%s: %s of rows of %s that do not exist; moved unchanged", t.Name, from,
				human.Count(n, "reference", "references"), name)
		}
	}
}
