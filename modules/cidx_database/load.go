package database

import (
	"context"
	"errors"
	"fmt"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/pgcheck"
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
	problems.Add(r.explain((warmer{r}).findWarmth(ctx)))
	problems.Add(r.tryAll(ctx))
	r.clock.lap("plan")
	r.meter = startMeter(ctx, r.args.ProgressSeconds)
	if r.mode.Check {
		return r.rehearse(ctx, problems)
	}
	if len(problems) == 0 {
		if done, err := (warmer{r}).fromWarm(ctx); done || err != nil {
			return r.explain(err)
		}
	}
	problems.Add(r.checked())
	if err := problems.Err(); err != nil {
		return errors.Join(err, r.finds.save())
	}
	if err := r.removeOldReports(); err != nil {
		return err
	}
	if err := r.move(ctx); err != nil {
		if n := r.finds.total(); n > 0 && !r.committed {
			r.out.Msg = fmt.Sprintf("%s values or rows do not fit; PostgreSQL is as it was", human.Number(n))
		}
		return errors.Join(err, r.finds.save())
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
	if r.args.Phase == phaseWarm {
		return (warmer{r}).openWarm(ctx)
	}
	if !r.mode.Check || r.config.Path != "" && r.loadedBefore() {
		return r.openSnapshot(ctx)
	}
	r.warnings.add("rehearsed on copies of databases that may be in use: only as consistent as a running server allows")
	return r.openCopies(ctx)
}

// checkServer finds what makes a server unfit for a load, as the precheck does.
func (r *runner) checkServer(ctx context.Context) error {
	pooled, err := pgcheck.Fit(ctx, r.conn, r.dsn)
	problems := problem.Of(r.explain(err))
	if pooled && err == nil {
		r.warnings.add("a connection pooler stands before PostgreSQL; CIDX needs it in session mode")
	}
	if r.catalog.Server.Schema == "" {
		problems = append(problems, problem.Problem{What: "no schema of search_path exists", At: r.where, Fix: "create schema public, or correct search_path"})
	}
	return problems.Err()
}
