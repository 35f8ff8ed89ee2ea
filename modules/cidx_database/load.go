package database

import (
	"context"
	"errors"
	"fmt"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// load moves the data, or rehearses it in check mode.
func (r *runner) load(ctx context.Context) error {
	r.clock.lap("")
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.clock.lap("prepare")
	if done, err := r.alreadyLoaded(ctx); done || err != nil {
		return err
	}
	if none, err := r.ensureSchema(ctx); none || err != nil {
		return err
	}
	var problems problem.List
	problems.Add(r.makePlan())
	r.tellLacking(ctx)
	problems.Add(r.tryAll(ctx))
	r.clock.lap("plan")
	if r.mode.Check {
		return r.rehearse(ctx, problems)
	}
	problems.Add(r.ask(ctx, r.privileges, r.sequenceRights))
	problems.Add(<-r.checked)
	if err := problems.Err(); err != nil {
		return errors.Join(err, r.finds.save())
	}
	if err := r.removeOldReports(); err != nil {
		return err
	}
	r.meter = startMeter(ctx, r.args.ProgressSeconds)
	err := r.transfer(ctx)
	if errors.Is(err, errMisfit) || constraint(err) {
		return r.mend(ctx, err)
	}
	if err != nil {
		return r.explain(err)
	}
	return r.finish(ctx)
}

// prepare opens the source and the target.
func (r *runner) prepare(ctx context.Context) error {
	var problems problem.List
	problems.Add(r.openSecrets(ctx))
	opening := make(chan error, 1)
	go func() {
		err := r.chooseSource(ctx)
		if err == nil && r.secrets != nil {
			r.warmKeys()
		}
		opening <- err
	}()
	problems.Add(r.connect(ctx))
	problems.Add(<-opening)
	if err := problems.Err(); err != nil {
		return err
	}
	r.checkSmall()
	return r.checkServer(ctx)
}

// chooseSource takes the private snapshot of the backup step. A rehearsal takes
// copies of its own, unless the snapshot is what the cluster was loaded from.
func (r *runner) chooseSource(ctx context.Context) error {
	if !r.mode.Check || r.config.Path != "" && r.loadedBefore() {
		return r.openSnapshot(ctx)
	}
	r.warnings.add("rehearsed on copies of databases that may be in use: only as consistent as a running server allows")
	return r.openCopies(ctx)
}

// checkServer finds what makes a server unfit for a load.
func (r *runner) checkServer(ctx context.Context) error {
	s := r.catalog.Server
	var problems problem.List
	if s.Standby {
		problems = append(problems, problem.Problem{What: "this server is a read-only replica", At: r.where, Fix: "name the primary in postgres_dsn"})
	} else if s.ReadOnly {
		problems = append(problems, problem.Problem{What: "transactions are read-only (default_transaction_read_only)", At: r.where, Fix: "set it to off for this role and database, or name the primary in postgres_dsn"})
	}
	if s.Encoding != "UTF8" {
		problems = append(problems, problem.Problem{What: "the database's encoding is " + s.Encoding, At: r.where, Fix: "create the database with ENCODING 'UTF8' TEMPLATE template0"})
	}
	if s.Schema == "" {
		problems = append(problems, problem.Problem{What: "no schema of search_path exists", At: r.where, Fix: "create schema public, or correct search_path"})
	}
	problems.Add(r.pooler(ctx))
	return problems.Err()
}

// pooler recognises PgBouncer in transaction mode: it answers with a process id
// of its own, and two clients at once get the same server process. CIDX's
// migration runner and leader election need locks that last as long as a
// session.
func (r *runner) pooler(ctx context.Context) error {
	mine := r.catalog.Server.BackendPID
	if r.conn.PID() == mine {
		return nil
	}
	second, err := postgres.Connect(ctx, r.dsn, application)
	if err != nil {
		return err
	}
	defer second.Close(ctx)
	rows, err := postgres.Rows(ctx, second, "SELECT pg_backend_pid()")
	if err != nil {
		return r.explain(err)
	}
	if string(rows[0][0]) != fmt.Sprint(mine) {
		r.warnings.add("a connection pooler stands before PostgreSQL; CIDX needs it in session mode")
		return nil
	}
	return problem.Problem{What: "a connection pooler in transaction mode stands before PostgreSQL", At: r.where, Fix: "name PostgreSQL itself in postgres_dsn, or set the pooler to session mode: CIDX's locks last as long as a session"}
}
