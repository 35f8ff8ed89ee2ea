package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// rehearse finds every reason for which the real run would stop, in a read-only
// transaction, and forecasts what it would do.
func (r *runner) rehearse(ctx context.Context) error {
	r.meter = startMeter(ctx, r.args.ProgressSeconds)
	if err := postgres.Run(ctx, r.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return r.explain(err)
	}
	var problems cidx.Problems
	problems.Add(r.explain(r.privileges(ctx)))
	problems.Add(r.explain(r.rehearseTarget(ctx)))
	problems.Add(r.integrity(ctx))
	r.changes = tally{}
	if err := r.search(ctx); err != nil {
		problems.Add(err)
	}
	if err := r.finds.save(r); err != nil {
		return err
	}
	for _, t := range r.plan.tables {
		if t.conn != nil && len(problems) == 0 {
			progress.Line(ctx, "  Would migrate %s... %s rows", t.Name, thousands(t.rows))
		}
	}
	r.out.Changed = true
	stopping := r.finds.total() > 0 && !r.args.Quarantine
	if stopping {
		problems = append(problems, r.found()...)
	}
	r.out.Msg = fmt.Sprintf("would load %s rows of %d tables", thousands(r.total()), r.loaded())
	if len(problems) > 0 {
		r.out.Msg = fmt.Sprintf("the load would stop: %d problems", int64(len(problems)))
		if stopping {
			r.out.Msg = fmt.Sprintf("the load would stop: %s values or rows do not fit", thousands(r.finds.total()))
		}
	} else if r.finds.total() > 0 {
		r.out.Msg += fmt.Sprintf("; %s rows would go to quarantine", thousands(r.quarantine()))
		for _, p := range r.finds.problems {
			r.warnings.add("%s", p.Error())
		}
	}
	return problems.Err()
}

// rehearseTarget looks at what the target holds already.
func (r *runner) rehearseTarget(ctx context.Context) error {
	var problems cidx.Problems
	problems.Add(r.classify(ctx))
	if _, err := r.planSecrets(ctx); err != nil {
		problems.Add(err)
	}
	return problems.Err()
}

// found are the finds for the reply, with a last line for those that are left out.
func (r *runner) found() cidx.Problems {
	list := r.finds.problems
	if more := r.finds.total() - int64(len(list)); more > 0 {
		where := problemsFile + " of the real run's report folder"
		if len(r.finds.files) > 0 {
			where = strings.Join(r.finds.files, ", ")
		}
		list = append(list, cidx.Problem{What: fmt.Sprintf("and %s more", thousands(more)), At: where, Fix: "correct the values in SQLite, or set cidx_database_quarantine to leave these rows out"})
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
	var problems cidx.Problems
	if len(lacking) > 0 {
		problems = append(problems, cidx.Problem{What: "role " + r.catalog.Server.User + " lacks rights (SELECT, INSERT, DELETE) on " + head(lacking, 10), At: r.where, Fix: "GRANT ALL ON ALL TABLES IN SCHEMA " + r.catalog.Server.Schema + " TO " + r.catalog.Server.User + ", or connect as the owner of CIDX's tables"})
	}
	if !r.catalog.Server.MayCreate && r.catalog.Tables[markerTable] == nil {
		problems = append(problems, cidx.Problem{What: "role " + r.catalog.Server.User + " may not create tables in schema " + r.catalog.Server.Schema, At: r.where, Fix: "GRANT CREATE ON SCHEMA " + r.catalog.Server.Schema + " TO " + r.catalog.Server.User + "; CIDX itself needs it"})
	}
	return problems.Err()
}

// integrity has SQLite check the structure of every copy.
func (r *runner) integrity(ctx context.Context) error {
	var problems cidx.Problems
	for file, conn := range r.source.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if file == cidx.Activated {
			continue
		}
		r.meter.begin("checking "+file, 0, "")
		problems.Add(quickCheck(conn.QuickCheck, file))
	}
	return problems.Err()
}

func quickCheck(check func(int) ([]string, error), file string) error {
	faults, err := check(5)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return cidx.Problem{What: "the database is damaged: " + strings.Join(faults, "; "), At: file, Fix: "repair it (sqlite3 FILE .recover) or restore a backup, start the standalone server once, then migrate again"}
	}
	return nil
}
