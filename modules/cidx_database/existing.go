package database

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/convert"
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
	err = p.each(ctx, p.tables, func(t *table) error {
		t.status, t.seeded, t.guests, t.frozen = statusEmpty, 0, nil, false
		if !filled[t] {
			return nil
		}
		return p.classifyTable(ctx, t)
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
		for _, f := range t.to.ForeignKeys {
			if parent := p.plan.table(f.Table); parent != nil && parent.status == statusReplaced && t.status == statusKept {
				t.status = statusReplaced
			}
		}
	}
	if err := p.tellFirstStart(); err != nil {
		return err
	}
	return p.strangers(ctx)
}

// filledTables tells which tables have rows, in one round trip.
func (p *passage) filledTables(ctx context.Context) (map[*table]bool, error) {
	filled := map[*table]bool{}
	if len(p.tables) == 0 {
		return filled, nil
	}
	parts := make([]string, len(p.tables))
	for i, t := range p.tables {
		parts[i] = "EXISTS (SELECT FROM " + t.to.Qualified() + ")"
	}
	rows, err := postgres.Rows(ctx, p.conn, "SELECT "+strings.Join(parts, ", "))
	if err != nil {
		return nil, fmt.Errorf("look into the target's tables: %w", err)
	}
	for i, t := range p.tables {
		filled[t] = string(rows[0][i]) == "t"
	}
	return filled, nil
}

// rolledBack reports whether what the target holds was given up.
func (r *runner) rolledBack() bool { return r.marker != nil && r.marker.RolledBack != "" }

func (r *runner) classifyTable(ctx context.Context, t *table) error {
	if own, err := (warmer{r}).ownRows(ctx, t); own || err != nil {
		return err
	}
	defer func() {
		if t.but != "" && t.status == statusKept {
			t.status = statusReplaced // rows of the warm load lie beside these
		}
		t.but = ""
	}()
	if r.rolledBack() {
		written, err := r.sinceGivenUp(ctx, t)
		if err != nil || !written {
			t.status = statusReplaced
			return err
		}
	}
	if len(t.columns) == 0 || len(t.key) == 0 {
		return r.classifyWhole(ctx, t)
	}
	return r.classifyRows(ctx, t)
}

// classifyRows looks at every row.
func (r *runner) classifyRows(ctx context.Context, t *table) error {
	seeds, err := r.seedsOf(t)
	if err != nil {
		return err
	}
	counts := map[string]int64{}
	var guests guests
	var foreign []string
	equal, err := r.mergeCount(ctx, t, func(d difference) error {
		counts[d.Kind]++
		switch {
		case d.Kind == differenceLost:
		case r.rolledBack():
			r.finds.write(t, d, "replaced")
		case t.Grows && t.numbered():
			guests.add(d.Row[t.key[0]])
		case t.matches(seeds, d.Row):
			t.seeded++
		default:
			counts["foreign"]++
			if len(foreign) < 5 {
				foreign = append(foreign, d.Key+map[string]string{differenceChanged: " differs"}[d.Kind]+d.inColumns())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case counts["foreign"] > 0:
		return r.foreign(t, counts["foreign"], foreign)
	case len(counts) == 0:
		t.status = statusKept
		t.rows = equal
		t.sum, err = r.sourceSum(ctx, t)
		return err
	}
	t.status = statusReplaced
	return r.invite(t, guests)
}

func (r *runner) foreign(t *table, n int64, keys []string) error {
	more := ""
	if n > int64(len(keys)) {
		more = fmt.Sprintf(" and %d more", n-int64(len(keys)))
	}
	return problem.Problem{
		What: fmt.Sprintf("PostgreSQL has %d rows that are neither this server's nor those of a first start: %s%s", n, strings.Join(keys, "; "), more),
		At:   r.where + ", table " + t.Name,
		Fix:  "if the cluster is in use, this server cannot be merged into it; if not, delete these rows (or make the database anew) and run again",
	}
}

// classifyWhole is for tables of which single rows cannot be told apart, or of
// which the source has nothing.
func (r *runner) classifyWhole(ctx context.Context, t *table) error {
	rows, err := postgres.Rows(ctx, r.conn, "SELECT count(*) FROM "+t.to.Qualified()+t.ours())
	if err != nil {
		return fmt.Errorf("count rows of %s: %w", t.Name, err)
	}
	n, _ := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if t.conn != nil {
		ours, err := r.sourceSum(ctx, t)
		if err != nil {
			return err
		}
		theirs, err := r.targetSum(ctx, t)
		if err != nil {
			return err
		}
		if ours == theirs {
			t.status, t.sum, t.rows = statusKept, ours, ours.Rows
			return nil
		}
	}
	if r.rolledBack() {
		t.status = statusReplaced
		return nil
	}
	return r.foreign(t, n, []string{"no key to name them by"})
}

// strangers finds rows of tables that we do not load but that would vanish with
// rows that we replace.
func (p *passage) strangers(ctx context.Context) error {
	var problems problem.List
	for name, other := range p.catalog.Tables {
		if p.plan.table(name) != nil {
			continue
		}
		for _, f := range other.ForeignKeys {
			parent := p.plan.table(f.Table)
			if parent == nil || parent.status != statusReplaced {
				continue
			}
			refers := make([]string, len(f.Columns))
			for i, c := range f.Columns {
				refers[i] = postgres.Quote(c) + " IS NOT NULL"
			}
			rows, err := postgres.Rows(ctx, p.conn, "SELECT EXISTS (SELECT FROM "+other.Qualified()+
				" WHERE "+strings.Join(refers, " AND ")+")")
			if err != nil {
				return fmt.Errorf("look into %s: %w", name, err)
			}
			if string(rows[0][0]) == "t" {
				problems = append(problems, problem.Problem{What: "table " + name + " refers to rows of " + parent.Name + " that would be replaced", At: p.where, Fix: "empty " + name + ", then run again"})
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
	return p.each(ctx, backwards, func(t *table) error {
		if t.status != statusReplaced {
			return nil
		}
		if err := p.moveGuests(ctx, t); err != nil {
			return err
		}
		if err := postgres.Run(ctx, p.conn, "DELETE FROM "+t.to.Qualified()+t.ours()); err != nil {
			return fmt.Errorf("delete replaced rows of %s: %w", t.Name, err)
		}
		return nil
	})
}

// textual reports whether values of the kind are shown as they are.
func textual(k convert.Kind) bool {
	switch k {
	case convert.Text, convert.Varchar, convert.JSON, convert.JSONB, convert.Bytea:
		return true
	}
	return false
}
