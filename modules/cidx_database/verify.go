package database

import (
	"context"
	"fmt"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/review"
)

// ourMarker is the marker of this server's load; nil if nothing was loaded.
func (r *runner) ourMarker(ctx context.Context) (m *loaded.Marker, err error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if m, err = loaded.Latest(ctx, r.Conn); err != nil || m == nil {
		return nil, r.Explain(err)
	}
	return m, r.foreign(m)
}

// openLoaded opens what is needed to look back at a load: the snapshot and the plan
// as they were then.
func (r *runner) openLoaded(ctx context.Context, m *loaded.Marker) (err error) {
	if r.source, err = r.Snapshot(ctx); err != nil {
		return err
	}
	if r.source.ID() != m.Source {
		r.Warnings.Add("the snapshot in %s is not the one that was loaded", r.source.Dir)
	}
	return r.makePlan(m.Started)
}

// summarize puts the reviews into the reply.
func (r *runner) summarize(list []*review.Table) review.Table {
	sum := review.Sum(list)
	r.out.Data["tables"], r.out.Data["rows"] = list, sum.Rows
	r.out.Data["changed_rows"], r.out.Data["added_rows"], r.out.Data["lost_rows"] = sum.Changed, sum.Added, sum.Lost
	return sum
}

// verify tells what the cluster has made of the data. Rows that the cluster
// changed or added are no fault; rows that are gone are one, unless the server
// deletes such rows of its own accord.
func (r *runner) verify(ctx context.Context) error {
	m, err := r.ourMarker(ctx)
	if err != nil {
		return err
	}
	if m == nil {
		return problem.Problem{What: "no data was loaded into this database", At: r.Where, Fix: "run cluster-migrate.yml"}
	}
	if m.RolledBack != "" {
		r.Warnings.Add("this migration was rolled back at %s", m.RolledBack)
	}
	if !r.HasSnapshot() {
		return r.countOnly(ctx, m)
	}
	if err := r.openLoaded(ctx, m); err != nil {
		return err
	}
	list, err := review.Tables(ctx, r.engine(), m.Tables, false)
	if err != nil {
		return r.Explain(err)
	}
	sum := r.summarize(list)
	r.out.Msg = fmt.Sprintf("%d tables compared with what was loaded at %s: %s rows changed since, %s added, %s no longer there",
		len(list), m.Committed, human.Number(sum.Changed), human.Number(sum.Added), human.Number(sum.Lost))
	var problems problem.List
	for _, v := range list {
		if v.Status == review.StatusLost {
			problems = append(problems, problem.Problem{
				What: fmt.Sprintf("%d rows that were loaded are gone: %s", v.Lost, load.Head(v.Keys, 5)),
				At:   r.Where + ", table " + v.Table,
				Fix: "if nobody deleted them in the cluster on purpose, " +
					"stop the cluster, run cluster-rollback.yml and migrate again; the standalone server's data is untouched"})
		}
	}
	if len(problems) == 0 {
		progress.Line(ctx, "  Validation: PASSED")
	}
	return problems.Err()
}

// countOnly is verify where the snapshot is gone, as it is after the acceptance:
// every table that was loaded is there, and has rows if it had some. What became
// of single rows cannot be told any more.
func (r *runner) countOnly(ctx context.Context, m *loaded.Marker) error {
	list := []*review.Table{}
	var problems problem.List
	for _, t := range cidx.Catalogue {
		mark, ok := m.Tables[t.Name]
		if !ok {
			continue
		}
		v, err := review.Count(ctx, r.Session, review.Table{Table: t.Name, File: t.File}, t.Wanes, mark)
		if err != nil {
			return r.Explain(err)
		}
		list = append(list, v)
		if v.Status == review.StatusLost {
			problems = append(problems, problem.Problem{
				What: fmt.Sprintf("all %d rows that were loaded are gone", v.Lost), At: r.Where + ", table " + v.Table,
				Fix: "if nobody deleted them in the cluster on purpose, restore the table from a backup of PostgreSQL"})
		}
	}
	rows := review.Sum(list).Rows
	r.out.Data["tables"], r.out.Data["rows"] = list, rows
	r.out.Msg = fmt.Sprintf("%d tables hold %s; the copy that they were loaded from at %s is gone, "+
		"so that single rows were not compared",
		len(list), human.Count(rows, "row", "rows"), m.Committed)
	if len(problems) == 0 {
		progress.Line(ctx, "  Validation: PASSED (rows counted: the copy to compare with is gone)")
	}
	return problems.Err()
}
