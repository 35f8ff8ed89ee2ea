package load

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// classify finds out, for every table, what the target holds. Rows that are
// neither a first start's nor ours stop the run; they are listed by key.
func (p *Passage) classify(ctx context.Context) error {
	if len(p.Tables) == 0 {
		return nil
	}
	exists := func(t *Transfer) string { return "EXISTS (SELECT FROM " + t.To.Qualified() + ")" }
	filled, err := postgres.Rows(ctx, p.Conn, "SELECT "+Join(p.Tables, ", ", exists)) // in one round trip
	if err != nil {
		return fmt.Errorf("look into the target's tables: %w", err)
	}
	all := p.Tables // leaves may make it shorter
	err = p.each(ctx, all, func(t *Transfer) error {
		t.Status = StatusEmpty
		if string(filled[0][slices.Index(all, t)]) != "t" {
			return nil
		}
		return (&inspection{p, t}).classify(ctx)
	})
	if err != nil {
		return err
	}
	if p.Online {
		for _, t := range p.Tables {
			if t.Status == StatusKept {
				t.Status = StatusReplaced // every row is to carry the id of this transaction
			}
		}
	}
	// Deleting a parent takes its children along.
	for _, t := range p.Tables {
		for _, f := range t.To.ForeignKeys {
			if parent := p.Every.Find(f.Table); parent != nil && parent.Status == StatusReplaced && t.Status == StatusKept {
				t.Status = StatusReplaced
			}
		}
	}
	return p.Strangers(ctx)
}

// inspection looks at what the target holds of one table.
type inspection struct {
	*Passage
	t *Transfer
}

func (x *inspection) classify(ctx context.Context) error {
	t := x.t
	if x.Own != nil {
		own, others, err := x.Own(ctx, &x.Work, t)
		if own {
			t.Status = StatusReplaced
		}
		if own || err != nil {
			return err
		}
		t.others = others
	}
	defer func() {
		if t.others != "" && t.Status == StatusKept {
			t.Status = StatusReplaced // rows of the warm load lie beside these
		}
		t.others = ""
	}()
	if x.GivenUp {
		written, err := x.sinceGivenUp(ctx)
		if err != nil || !written {
			t.Status = StatusReplaced
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
	mark, known := x.Last[x.t.Name]
	if !known {
		return true, nil
	}
	sum, err := x.t.TargetSum(ctx, x.Conn, x.Meter)
	if err != nil {
		return false, err
	}
	want, err := mark.Sum()
	return err != nil || sum != want, nil
}

// rows looks at every row.
func (x *inspection) rows(ctx context.Context) error {
	t := x.t
	seeds, err := t.seeds(x.Every)
	if err != nil {
		return err
	}
	differs, foreign := false, int64(0)
	var guests Guests
	var names []string
	equal, err := t.Merge(ctx, x.Conn, t.Left, t.Ours(), func(d Difference) error {
		differs = true
		switch {
		case d.Kind == Lost:
		case x.GivenUp:
			return x.Lists.Write(t.Table, d, "replaced")
		case t.Grows && t.Numbered():
			guests.add(d.Row[t.Key[0]])
		case t.matches(seeds, d.Row):
			t.Seeded++
		default:
			if foreign++; len(names) < 5 {
				names = append(names, d.Key+map[string]string{Changed: " differs"}[d.Kind]+d.inColumns())
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
		t.Status, t.Rows = StatusKept, equal
		t.Sum, err = t.SourceSum(ctx, t.Left, x.Meter)
		return err
	}
	t.Status = StatusReplaced
	return t.invite(guests, x.Where)
}

func (x *inspection) foreign(n int64, names []string) error {
	what := fmt.Sprintf("PostgreSQL has %d rows that are neither this server's nor those of a first start: %s",
		n, strings.Join(names, "; "))
	if n > int64(len(names)) {
		what += fmt.Sprintf(" and %d more", n-int64(len(names)))
	}
	return problem.Problem{
		What: what,
		At:   x.Where + ", table " + x.t.Name,
		Fix: "if the cluster is in use, this server cannot be merged into it; " +
			"if not, delete these rows (or make the database anew) and run again",
	}
}

// whole is for tables of which single rows cannot be told apart, or of which the
// source has nothing.
func (x *inspection) whole(ctx context.Context) error {
	t := x.t
	n, err := postgres.Number(ctx, x.Conn, "SELECT count(*) FROM "+t.To.Qualified()+t.Ours())
	if err != nil {
		return fmt.Errorf("count rows of %s: %w", t.Name, err)
	}
	if t.Conn != nil {
		ours, theirs, err := t.BothSums(ctx, x.Conn, x.Meter)
		if err != nil {
			return err
		}
		if ours == theirs {
			t.Status, t.Sum, t.Rows = StatusKept, ours, ours.Rows
			return nil
		}
	}
	if x.GivenUp {
		t.Status = StatusReplaced
		return nil
	}
	return x.foreign(n, []string{"no key to name them by"})
}

// Strangers finds rows of tables that we do not load but that would vanish with
// rows that we replace.
func (p *Passage) Strangers(ctx context.Context) error {
	var problems problem.List
	for name, other := range p.Catalog.Tables {
		if p.Every.Find(name) != nil {
			continue
		}
		for _, f := range other.ForeignKeys {
			parent := p.Every.Find(f.Table)
			if parent == nil || parent.Status != StatusReplaced {
				continue
			}
			refers := Join(f.Columns, " AND ", func(c string) string { return postgres.Quote(c) + " IS NOT NULL" })
			rows, err := postgres.Rows(ctx, p.Conn, "SELECT EXISTS (SELECT FROM "+other.Qualified()+" WHERE "+refers+")")
			if err != nil {
				return fmt.Errorf("look into %s: %w", name, err)
			}
			if string(rows[0][0]) == "t" {
				what := "table " + name + " refers to rows of " + parent.Name + " that would be replaced"
				problems = append(problems, problem.Problem{What: what, At: p.Where, Fix: "empty " + name + ", then run again"})
			}
		}
	}
	return problems.Err()
}

// ClearTarget classifies what is there and deletes what is to be replaced,
// children first.
func (p *Passage) ClearTarget(ctx context.Context) error {
	if err := p.classify(ctx); err != nil {
		return err
	}
	backwards := slices.Clone(p.Tables)
	slices.Reverse(backwards)
	return p.each(ctx, backwards, func(t *Transfer) error {
		if t.Status != StatusReplaced {
			return nil
		}
		if err := p.moveGuests(ctx, t); err != nil {
			return err
		}
		if err := postgres.Run(ctx, p.Conn, "DELETE FROM "+t.To.Qualified()+t.Ours()); err != nil {
			return fmt.Errorf("delete replaced rows of %s: %w", t.Name, err)
		}
		return nil
	})
}
