package database

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// Statuses of a table.
const (
	statusEmpty    = "to load"  // nothing in the target
	statusReplaced = "replaced" // rows of a first start, or of a load that was given up
	statusKept     = "kept"     // the target has exactly our rows
	statusLoaded   = "loaded"
)

// classify finds out, for every table, what the target holds. Rows that are
// neither a first start's nor ours stop the run; they are listed by key.
func (p *passage) classify(ctx context.Context) error {
	filled, err := p.filledTables(ctx)
	if err != nil {
		return err
	}
	err = p.each(ctx, p.tables, func(t *transfer) error {
		t.status = statusEmpty
		if !filled[t] {
			return nil
		}
		return (&inspection{p, t}).classify(ctx)
	})
	if err != nil {
		return err
	}
	if p.args.Phase == phaseWarm {
		for _, t := range p.tables {
			if t.status == statusKept {
				t.status = statusReplaced // every row is to carry the id of this transaction
			}
		}
	}
	// Deleting a parent takes its children along.
	for _, t := range p.tables {
		for _, f := range t.To.ForeignKeys {
			if parent := p.every.find(f.Table); parent != nil && parent.status == statusReplaced && t.status == statusKept {
				t.status = statusReplaced
			}
		}
	}
	if err := p.every.tellFirstStart(p.notes); err != nil {
		return err
	}
	return p.strangers(ctx)
}

// filledTables tells which tables have rows, in one round trip.
func (p *passage) filledTables(ctx context.Context) (map[*transfer]bool, error) {
	filled := map[*transfer]bool{}
	if len(p.tables) == 0 {
		return filled, nil
	}
	exists := func(t *transfer) string { return "EXISTS (SELECT FROM " + t.To.Qualified() + ")" }
	rows, err := postgres.Rows(ctx, p.conn, "SELECT "+load.Join(p.tables, ", ", exists))
	if err != nil {
		return nil, fmt.Errorf("look into the target's tables: %w", err)
	}
	for i, t := range p.tables {
		filled[t] = string(rows[0][i]) == "t"
	}
	return filled, nil
}

// inspection looks at what the target holds of one table.
type inspection struct {
	*passage
	t *transfer
}

func (x *inspection) classify(ctx context.Context) error {
	t := x.t
	if own, err := x.ownRows(ctx); own || err != nil {
		return err
	}
	defer func() {
		if t.but != "" && t.status == statusKept {
			t.status = statusReplaced // rows of the warm load lie beside these
		}
		t.but = ""
	}()
	if x.held.rolledBack() {
		written, err := x.sinceGivenUp(ctx)
		if err != nil || !written {
			t.status = statusReplaced
			return err
		}
	}
	if len(t.Columns) == 0 || len(t.Key) == 0 {
		return x.whole(ctx)
	}
	return x.rows(ctx)
}

// sinceGivenUp reports whether a table was written after its load was given up.
func (x *inspection) sinceGivenUp(ctx context.Context) (bool, error) {
	mark, known := x.held.marker.Last[x.t.Name]
	if !known {
		return true, nil
	}
	sum, err := x.t.targetSum(ctx, x.conn, x.meter)
	if err != nil {
		return false, err
	}
	want, err := mark.Sum()
	return err != nil || sum != want, nil
}

// rows looks at every row.
func (x *inspection) rows(ctx context.Context) error {
	t := x.t
	seeds, err := t.seeds(x.every)
	if err != nil {
		return err
	}
	differs, foreign := false, int64(0)
	var guests guests
	var names []string
	equal, err := t.Merge(ctx, x.conn, t.left, t.ours(), func(d load.Difference) error {
		differs = true
		switch {
		case d.Kind == load.Lost:
		case x.held.rolledBack():
			return x.lists.write(t.table, d, "replaced")
		case t.Grows && t.Numbered():
			guests.add(d.Row[t.Key[0]])
		case t.matches(seeds, d.Row):
			t.seeded++
		default:
			if foreign++; len(names) < 5 {
				names = append(names, d.Key+map[string]string{load.Changed: " differs"}[d.Kind]+d.InColumns())
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case foreign > 0:
		return x.foreign(foreign, names)
	case !differs:
		t.status, t.rows = statusKept, equal
		t.sum, err = t.SourceSum(ctx, t.left, x.meter)
		return err
	}
	t.status = statusReplaced
	return t.invite(guests, x.where)
}

func (x *inspection) foreign(n int64, names []string) error {
	more := ""
	if n > int64(len(names)) {
		more = fmt.Sprintf(" and %d more", n-int64(len(names)))
	}
	return problem.Problem{
		What: fmt.Sprintf("PostgreSQL has %d rows that are neither this server's nor those of a first start: %s%s", n,
			strings.Join(names, "; "), more),
		At: x.where + ", table " + x.t.Name,
		Fix: "if the cluster is in use, this server cannot be merged into it; " +
			"if not, delete these rows (or make the database anew) and run again",
	}
}

// whole is for tables of which single rows cannot be told apart, or of which the
// source has nothing.
func (x *inspection) whole(ctx context.Context) error {
	t := x.t
	n, err := postgres.Number(ctx, x.conn, "SELECT count(*) FROM "+t.To.Qualified()+t.ours())
	if err != nil {
		return fmt.Errorf("count rows of %s: %w", t.Name, err)
	}
	if t.Conn != nil {
		ours, theirs, err := t.bothSums(ctx, x.conn, x.meter)
		if err != nil {
			return err
		}
		if ours == theirs {
			t.status, t.sum, t.rows = statusKept, ours, ours.Rows
			return nil
		}
	}
	if x.held.rolledBack() {
		t.status = statusReplaced
		return nil
	}
	return x.foreign(n, []string{"no key to name them by"})
}

// strangers finds rows of tables that we do not load but that would vanish with
// rows that we replace.
func (p *passage) strangers(ctx context.Context) error {
	var problems problem.List
	for name, other := range p.catalog.Tables {
		if p.every.find(name) != nil {
			continue
		}
		for _, f := range other.ForeignKeys {
			parent := p.every.find(f.Table)
			if parent == nil || parent.status != statusReplaced {
				continue
			}
			refers := load.Join(f.Columns, " AND ", func(c string) string { return postgres.Quote(c) + " IS NOT NULL" })
			rows, err := postgres.Rows(ctx, p.conn, "SELECT EXISTS (SELECT FROM "+other.Qualified()+" WHERE "+refers+")")
			if err != nil {
				return fmt.Errorf("look into %s: %w", name, err)
			}
			if string(rows[0][0]) == "t" {
				what := "table " + name + " refers to rows of " + parent.Name + " that would be replaced"
				problems = append(problems, problem.Problem{What: what, At: p.where, Fix: "empty " + name + ", then run again"})
			}
		}
	}
	return problems.Err()
}

// clearTarget classifies what is there and deletes what is to be replaced,
// children first.
func (p *passage) clearTarget(ctx context.Context) error {
	if err := p.classify(ctx); err != nil {
		return err
	}
	backwards := slices.Clone(p.tables)
	slices.Reverse(backwards)
	return p.each(ctx, backwards, func(t *transfer) error {
		if t.status != statusReplaced {
			return nil
		}
		if err := p.moveGuests(ctx, t); err != nil {
			return err
		}
		if err := postgres.Run(ctx, p.conn, "DELETE FROM "+t.To.Qualified()+t.ours()); err != nil {
			return fmt.Errorf("delete replaced rows of %s: %w", t.Name, err)
		}
		return nil
	})
}
