package database

import (
	"context"
	"fmt"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// rehearse does what a load does, up to its last comparison, and takes it back.
// problems are those that are known already.
func (r *runner) rehearse(ctx context.Context, problems problem.List) (err error) {
	problems.Add(r.source.Integrity(ctx, r.checking))
	r.loaded, err = r.order().Move(ctx)
	problems.Add(err)
	if err := r.Lists.Save(); err != nil {
		return err
	}
	return r.forecast(ctx, problems)
}

func (r *runner) checking(file string) { r.Meter.Begin("checking "+file, 0, "") }

// forecast tells what the real run would do.
func (r *runner) forecast(ctx context.Context, problems problem.List) error {
	r.out.Changed = true
	if len(problems) > 0 {
		r.out.Msg = "the load would stop"
		if n := r.loaded.Finds.Total(); n > 0 {
			r.out.Msg += fmt.Sprintf("; %s values or rows do not fit", human.Number(n))
		}
		return problems
	}
	var empty []string
	for _, t := range r.loaded.Tables {
		if t.Conn != nil && t.Rows == 0 {
			empty = append(empty, t.Name)
		} else if t.Conn != nil {
			progress.Line(ctx, "  Would migrate %s... %s", t.Name, human.Count(t.Rows, "row", "rows"))
		}
		if t.Guests != nil {
			progress.Line(ctx, "  Would keep %s... %s", t.Name, t.Guests)
		}
	}
	if len(empty) > 0 {
		progress.Line(ctx, "  %s", load.EmptyTables("Would migrate", empty))
	}
	sum := r.loaded.Tables.Totals()
	r.out.Msg = fmt.Sprintf("would load %s of %s", human.Count(sum.Rows, "row", "rows"), human.Count(sum.Tables, "table", "tables"))
	if r.loaded.Finds.Total() > 0 {
		r.out.Msg += fmt.Sprintf("; %s would go to quarantine", human.Count(sum.Left, "row", "rows"))
		for _, p := range r.loaded.Finds.Problems {
			r.Warnings.Add("%s", p.Error())
		}
	}
	return nil
}
