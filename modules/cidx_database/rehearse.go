package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// rehearse finds every reason for which the real run would stop, in a read-only
// transaction, and forecasts what it would do. Earlier are the problems that
// are known already.
func (r *runner) rehearse(ctx context.Context, earlier problem.List) error {
	r.meter = startMeter(ctx, r.args.ProgressSeconds)
	if err := postgres.Run(ctx, r.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return r.explain(err)
	}
	problems := earlier
	lacking := r.ask(ctx, r.privileges, r.sequenceRights)
	problems.Add(lacking)
	if lacking == nil {
		problems.Add(r.ask(ctx, r.classify, func(ctx context.Context) error { _, err := r.planSecrets(ctx); return err }, r.checkSequences))
	}
	problems.Add(r.integrity(ctx))
	r.changes = tally{}
	problems.Add(r.search(ctx))
	if err := r.finds.save(); err != nil {
		return err
	}
	if r.finds.total() > 0 && !r.args.Quarantine {
		problems = append(problems, r.found()...)
	}
	r.forecast(ctx, problems)
	return problems.Err()
}

// forecast tells what the real run would do.
func (r *runner) forecast(ctx context.Context, problems problem.List) {
	r.out.Changed = true
	if len(problems) > 0 {
		r.out.Msg = "the load would stop"
		if n := r.finds.total(); n > 0 {
			r.out.Msg += fmt.Sprintf("; %s values or rows do not fit", human.Number(n))
		}
		return
	}
	for _, t := range r.plan.tables {
		if t.conn != nil {
			progress.Line(ctx, "  Would migrate %s... %s rows", t.Name, human.Number(t.rows))
		}
		if t.guests != nil {
			progress.Line(ctx, "  Would keep %s... %s rows that index runs wrote since cluster-join.sh, under new ids", t.Name, human.Number(len(t.guests.ids)))
		}
	}
	r.out.Msg = fmt.Sprintf("would load %s rows of %d tables", human.Number(r.total()), r.loaded())
	if r.finds.total() > 0 {
		r.out.Msg += fmt.Sprintf("; %s rows would go to quarantine", human.Number(r.quarantine()))
		for _, p := range r.finds.problems {
			r.warnings.add("%s", p.Error())
		}
	}
}

// found are the finds for the reply, with a last line for those that are left out.
func (r *runner) found() problem.List {
	list := r.finds.problems
	if more := r.finds.total() - int64(len(list)); more > 0 {
		where := problemsFile + " of the real run's report folder"
		if len(r.finds.files) > 0 {
			where = strings.Join(r.finds.files, ", ")
		}
		list = append(list, problem.Problem{What: fmt.Sprintf("and %s more", human.Number(more)), At: where, Fix: "correct the values in SQLite, or set cidx_database_quarantine to leave these rows out"})
	}
	return list
}

// privileges finds the rights that the load needs and the role lacks.
func (r *runner) privileges(ctx context.Context) error {
	var parts, names []string
	for _, t := range r.plan.tables {
		parts = append(parts, "has_table_privilege("+t.to.OID+"::oid, 'SELECT') AND has_table_privilege("+t.to.OID+"::oid, 'INSERT') AND has_table_privilege("+t.to.OID+"::oid, 'DELETE')")
		names = append(names, t.Name)
	}
	if len(parts) == 0 {
		return nil
	}
	rows, err := postgres.Rows(ctx, r.conn, "SELECT "+strings.Join(parts, ", "))
	if err != nil {
		return fmt.Errorf("look at privileges: %w", err)
	}
	var lacking []string
	for i, name := range names {
		if string(rows[0][i]) != "t" {
			lacking = append(lacking, name)
		}
	}
	var problems problem.List
	if len(lacking) > 0 {
		problems = append(problems, problem.Problem{What: "role " + r.catalog.Server.User + " lacks rights (SELECT, INSERT, DELETE) on " + head(lacking, 10), At: r.where, Fix: "GRANT ALL ON ALL TABLES IN SCHEMA " + r.catalog.Server.Schema + " TO " + r.catalog.Server.User + " (and on all sequences), or connect as the owner of CIDX's tables"})
	}
	if !r.catalog.Server.MayCreate && r.catalog.Tables[markerTable] == nil {
		problems = append(problems, problem.Problem{What: "role " + r.catalog.Server.User + " may not create tables in schema " + r.catalog.Server.Schema, At: r.where, Fix: "GRANT CREATE ON SCHEMA " + r.catalog.Server.Schema + " TO " + r.catalog.Server.User + "; CIDX itself needs it"})
	}
	return problems.Err()
}
