package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// Statuses of a table that was loaded earlier.
const (
	statusEqual   = "equal"   // as it was loaded
	statusChanged = "changed" // the cluster has written
	statusCounted = "counted" // nothing is left to compare with
	statusLost    = "lost"    // rows are missing that the server does not delete by itself
)

// review is what became of a table since it was loaded.
type review struct {
	Table   string `json:"table"`
	File    string `json:"file"`
	Rows    int64  `json:"rows"` // in PostgreSQL
	Status  string `json:"status"`
	Equal   int64  `json:"equal"`
	Changed int64  `json:"changed"`
	Added   int64  `json:"added"`
	Lost    int64  `json:"lost"`
	sum     digest.Sum
	keys    []string // of the first lost rows
}

// ourMarker is the marker of this server's load; nil if nothing was loaded.
func (r *runner) ourMarker(ctx context.Context) (m *marker, err error) {
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if m, err = loaded.Latest(ctx, r.conn); err != nil || m == nil {
		return nil, r.explain(err)
	}
	return m, r.foreign(m)
}

// openLoaded opens what is needed to look back at a load: the snapshot and the plan
// as they were then.
func (r *runner) openLoaded(ctx context.Context, m *marker) (err error) {
	if r.source, err = openSnapshot(ctx, r.settings); err != nil {
		return err
	}
	if r.source.id != m.Source {
		r.warnings.add("the snapshot in %s is not the one that was loaded", r.source.dir)
	}
	r.plan, err = makePlan(r.work, m.Started)
	return err
}

// reviewTables compares every table with the snapshot, in one consistent view.
// With export, every difference goes to the report of the cluster's writes.
func (r *runner) reviewTables(ctx context.Context, m *marker, export bool) ([]*review, error) {
	if err := postgres.Run(ctx, r.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return nil, err
	}
	var list []*review
	rows := int64(0)
	for name, mark := range m.Tables {
		rows += mark.Rows
		if r.catalog.Tables[name] == nil {
			list = append(list, &review{Table: name, Status: statusLost, Lost: mark.Rows, keys: []string{"the whole table"}})
		}
	}
	r.meter.Whole(rows)
	for _, t := range r.plan.transfers() {
		mark, loaded := m.Tables[t.Name]
		t.left = mark.Left
		if !loaded || t.Conn == nil {
			continue
		}
		v, err := r.reviewTable(ctx, t, mark, export)
		if err != nil {
			return nil, err
		}
		r.meter.End()
		list = append(list, v)
		progress.Line(ctx, "  Comparing %s... %s", t.Name, v)
	}
	return list, postgres.Run(ctx, r.conn, "COMMIT")
}

func (r *runner) reviewTable(ctx context.Context, t *transfer, mark tableMark, export bool) (*review, error) {
	r.meter.Begin("comparing "+t.Name, mark.Rows, "")
	ours, theirs, err := t.bothSums(ctx, r.conn, r.meter)
	if err != nil {
		return nil, err
	}
	v := &review{Table: t.Name, File: t.File, Rows: theirs.Rows, Status: statusEqual, Equal: theirs.Rows, sum: theirs}
	if want, err := mark.Sum(); err != nil || want != ours {
		r.warnings.add("%s: the snapshot is not what was loaded; differences may come from there", t.Name)
	}
	if ours == theirs {
		return v, nil
	}
	v.Status = statusChanged
	if len(t.Key) == 0 {
		v.Equal, v.Changed = 0, theirs.Rows
		v.Lost = max(0, ours.Rows-theirs.Rows)
		return v, nil
	}
	v.Equal, err = t.Merge(ctx, r.conn, t.left, t.ours(), func(d load.Difference) error {
		switch d.Kind {
		case load.Added:
			v.Added++
		case load.Changed:
			v.Changed++
		default:
			v.Lost++
			if len(v.keys) < 5 {
				v.keys = append(v.keys, d.Key)
			}
		}
		if export {
			return r.lists.write(t.table, d, "")
		}
		return nil
	})
	if v.Lost > 0 && !t.Wanes {
		v.Status = statusLost
	}
	return v, err
}

// String is the end of a transcript line.
func (v *review) String() string {
	if v.Status == statusEqual {
		return human.Number(v.Rows) + " rows equal"
	}
	parts := []string{human.Number(v.Equal) + " rows equal"}
	for _, p := range []struct {
		n    int64
		word string
	}{{v.Changed, "changed since"}, {v.Added, "added"}, {v.Lost, "no longer there"}} {
		if p.n > 0 {
			parts = append(parts, human.Number(p.n)+" "+p.word)
		}
	}
	return strings.Join(parts, ", ")
}

// summarize puts the reviews into the reply.
func (r *runner) summarize(list []*review) (changed, added, lost int64) {
	var rows int64
	for _, v := range list {
		rows, changed, added, lost = rows+v.Rows, changed+v.Changed, added+v.Added, lost+v.Lost
	}
	r.out.Data["tables"], r.out.Data["rows"] = list, rows
	r.out.Data["changed_rows"], r.out.Data["added_rows"], r.out.Data["lost_rows"] = changed, added, lost
	return changed, added, lost
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
		return problem.Problem{What: "no data was loaded into this database", At: r.where, Fix: "run cluster-migrate.yml"}
	}
	if m.RolledBack != "" {
		r.warnings.add("this migration was rolled back at %s", m.RolledBack)
	}
	if !snapshotExists(r.state) {
		return r.countOnly(ctx, m)
	}
	if err := r.openLoaded(ctx, m); err != nil {
		return err
	}
	list, err := r.reviewTables(ctx, m, false)
	if err != nil {
		return r.explain(err)
	}
	changed, added, lost := r.summarize(list)
	r.out.Msg = fmt.Sprintf("%d tables compared with what was loaded at %s: %s rows changed since, %s added, %s no longer there",
		len(list), m.Committed, human.Number(changed), human.Number(added), human.Number(lost))
	var problems problem.List
	for _, v := range list {
		if v.Status == statusLost {
			problems = append(problems, problem.Problem{What: fmt.Sprintf("%d rows that were loaded are gone: %s", v.Lost, head(v.keys, 5)),
				At: r.where + ", table " + v.Table,
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
		var err error
		if v.Rows, err = postgres.Number(ctx, s.conn, "SELECT count(*) FROM "+to.Qualified()); err != nil {
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
