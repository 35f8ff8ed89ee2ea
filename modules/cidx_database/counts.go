package database

import (
	"context"
	"fmt"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// countOnly is verify where the snapshot is gone, as it is after the acceptance:
// every table that was loaded is there, and has rows if it had some. What became
// of single rows cannot be told any more.
func (r *runner) countOnly(ctx context.Context, m *marker) error {
	list := []*review{}
	var problems problem.List
	for _, t := range cidx.Catalogue {
		mark, ok := m.Tables[t.Name]
		if !ok {
			continue
		}
		v, err := countTable(ctx, r.session, t, mark)
		if err != nil {
			return r.explain(err)
		}
		list = append(list, v)
		if v.Status == statusLost {
			problems = append(problems, problem.Problem{
				What: fmt.Sprintf("all %d rows that were loaded are gone", v.Lost), At: r.where + ", table " + v.Table,
				Fix: "if nobody deleted them in the cluster on purpose, restore the table from a backup of PostgreSQL"})
		}
	}
	r.out.Data["tables"], r.out.Data["rows"] = list, sumOf(list)
	r.out.Msg = fmt.Sprintf("%d tables hold %s; the copy that they were loaded from at %s is gone, "+
		"so that single rows were not compared",
		len(list), human.Count(sumOf(list), "row", "rows"), m.Committed)
	if len(problems) == 0 {
		progress.Line(ctx, "  Validation: PASSED (rows counted: the copy to compare with is gone)")
	}
	return problems.Err()
}

// countTable counts the rows of one table that was loaded.
func countTable(ctx context.Context, s *session, t cidx.Table, mark tableMark) (*review, error) {
	v := &review{Table: t.Name, File: t.File, Status: statusCounted}
	if to := s.catalog.Tables[t.Name]; to != nil {
		rows, err := postgres.Rows(ctx, s.conn, "SELECT count(*) FROM "+to.Qualified())
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", t.Name, err)
		}
		if _, err := fmt.Sscan(string(rows[0][0]), &v.Rows); err != nil {
			return nil, fmt.Errorf("count %s: %w", t.Name, err)
		}
	} else {
		v.Status, v.Lost = statusLost, mark.Rows
	}
	if v.Rows == 0 && mark.Rows > 0 && !t.Wanes {
		v.Status, v.Lost = statusLost, mark.Rows
	}
	progress.Line(ctx, "  Counting %s... %s, %s loaded", t.Name, human.Count(v.Rows, "row", "rows"), human.Number(mark.Rows))
	return v, nil
}

func sumOf(list []*review) (rows int64) {
	for _, v := range list {
		rows += v.Rows
	}
	return rows
}
