package database

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/warm"
)

// A warm load is the load while the server still runs: the same rows by the same
// code in one transaction, every value compared, committed with a record of its
// own that no cluster starts on. After the stop only what has changed since is
// moved (catchup.go). docs/decisions/0007 says why that is as good as a load.

// warming is the transaction of a warm load.
type warming struct {
	*passage
	whole *plan
	w     *warmth
	was   *warmth // what an earlier run has left
}

// errNotWarm ends a warm load that cannot be built upon. It is no fault: all of
// the data is loaded after the stop.
type errNotWarm struct{ why string }

func (e errNotWarm) Error() string { return e.why }

// loadWarm is the phase warm.
func (r warmer) loadWarm(ctx context.Context) error {
	r.clock.lap("")
	r.out.Data["phase"] = phaseWarm
	if why, err := r.tooLate(); why != "" || err != nil {
		r.out.Skipped = why
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return errors.Join(err, r.removeWarm())
	}
	r.clock.lap("prepare")
	err := r.warmUp(ctx)
	var not errNotWarm
	if errors.As(err, &not) {
		r.out.Skipped = not.why + "; everything is loaded after the stop"
		err = nil
	}
	if !r.committed {
		return errors.Join(err, r.removeWarm())
	}
	return err
}

// tooLate says why there is nothing to be loaded before the stop.
func (r warmer) tooLate() (string, error) {
	if r.mode.Check {
		return "a check changes nothing", nil
	}
	standing, err := r.args.Standing()
	if err == nil && standing.Unfinished() {
		return "the server is stopped already; everything is loaded at once", nil
	}
	return "", err
}

func (r warmer) warmUp(ctx context.Context) error {
	m, err := loaded.Latest(ctx, r.conn)
	if err != nil {
		return r.explain(err)
	}
	if r.marker = m; m != nil && m.RolledBack == "" {
		return errNotWarm{"PostgreSQL holds a load of " + m.Committed + " already"}
	}
	if _, err := r.ensureSchema(ctx); err != nil {
		return err
	}
	var problems problem.List
	problems.Add(r.makePlan())
	problems.Add(r.explain(r.findWarmth(ctx)))
	problems.Add(r.tryAll(ctx))
	problems.Add(r.checked())
	if err := problems.Err(); err != nil {
		return err
	}
	r.clock.lap("plan")
	r.meter = startMeter(ctx, r.args.ProgressSeconds)
	w := &warming{passage: &passage{runner: r.runner, end: (*passage).commit}, whole: r.plan, was: r.plan.warm}
	err = w.run(ctx)
	r.plan = w.whole
	if w.refused {
		if r.args.Quarantine {
			return errNotWarm{"rows go to quarantine"}
		}
		return r.name(ctx, err)
	}
	if err != nil {
		return r.explain(err)
	}
	return w.finish(ctx)
}

// name names everything that is refused, by a rehearsal of the whole load. What
// it takes is loaded after the stop.
func (r warmer) name(ctx context.Context, cause error) error {
	named := r.rehearsal()
	named.all = true
	problems := problem.Of(r.explain(named.run(ctx)))
	problems = append(append(problems, named.found.list(r.runner)...), r.finds.list()...)
	if len(problems) == 0 {
		return errNotWarm{r.explain(cause).Error()}
	}
	return errors.Join(problems.Err(), r.finds.save())
}

// run loads what can be loaded before the stop.
func (w *warming) run(ctx context.Context) error {
	r := w.runner
	w.w = &warmth{Source: filepath.Base(r.source.dir), State: stateWarm,
		Home: r.args.Home, Host: hostName(), Database: w.whole.database, Started: r.moment, Tables: map[string]warmMark{}}
	if err := w.choose(ctx); err != nil {
		return err
	}
	return w.carry(ctx, []step{
		{"lock", true, (*passage).lockTables},
		{"lock", true, w.clear},
		{"lock", true, (*passage).dropIndexes},
		{"copy", true, (*passage).copyTables},
		{"copy", true, (*passage).runDeferred},
		{"indexes", true, (*passage).rebuildIndexes},
		{"verify", false, func(p *passage, _ context.Context) error { return p.source.unchanged() }},
		{"verify", true, w.record},
		{"verify", true, (*passage).runDeferred},
		{"verify", true, (*passage).compare},
		{"commit", false, (*passage).alone},
		{"commit", true, (*passage).seal},
		{"commit", false, w.end},
	})
}

// choose leaves out the tables that are loaded as a whole after the stop, and
// those that refer to them.
func (w *warming) choose(ctx context.Context) error {
	hot := &plan{warm: w.was, database: w.whole.database}
	for _, t := range w.whole.tables {
		cold, above, err := w.cold(ctx, t)
		if err != nil {
			return err
		}
		for _, f := range t.to.ForeignKeys {
			if mark, known := w.w.Tables[f.Table]; known && mark.Cold != "" && f.Table != t.Name && cold == "" {
				cold = "refers to " + f.Table
			}
		}
		w.w.Tables[t.Name] = warmMark{Rules: (warmer{w.runner}).rules(t), Cold: cold, Above: above}
		if cold == "" {
			hot.tables = append(hot.tables, t)
		}
	}
	w.plan = hot
	return nil
}

// cold says why a table is not loaded before the stop; "" if it is.
func (w *warming) cold(ctx context.Context, t *table) (why string, above int64, err error) {
	switch {
	case t.conn == nil:
		return "not in the source", 0, nil
	case t.File == cidx.Activated:
		return "built from files", 0, nil
	case t.from.RowID == "":
		return "has no row ids", 0, nil
	case t.Grows:
		return w.reserve(ctx, t)
	}
	return "", 0, nil
}

// clear makes room for the rows. What index runs have written is out of the way.
func (w *warming) clear(p *passage, ctx context.Context) error {
	all := p.tables
	defer func() { p.tables = all }()
	p.tables = slices.DeleteFunc(slices.Clone(all), func(t *table) bool { return t.Grows })
	if err := p.clearTarget(ctx); err != nil {
		return err
	}
	for _, t := range all {
		if !t.Grows {
			continue
		}
		t.status, t.guests = statusEmpty, &guests{above: w.w.Tables[t.Name].Above}
		if err := postgres.Run(ctx, p.conn, "DELETE FROM "+t.to.Qualified()+t.ours()); err != nil {
			return fmt.Errorf("delete replaced rows of %s: %w", t.Name, err)
		}
	}
	return nil
}

// record writes down what was loaded. Every row must carry the id of this
// transaction, by which it is known again: those that a trigger writes within a
// block of its own carry another one.
func (w *warming) record(p *passage, ctx context.Context) error {
	var err error
	if w.w.Xid, err = warm.Current(ctx, p.conn); err != nil {
		return err
	}
	for _, t := range p.plan.tables {
		count, err := t.target().Count(ctx, p.conn, w.w.Xid, 0)
		if err != nil {
			return err
		}
		if count.Earlier != t.sum.Rows || count.Others > 0 {
			return errNotWarm{fmt.Sprintf("rows of %s are written by triggers in transactions of their own", t.Name)}
		}
		mark := w.w.Tables[t.Name]
		mark.tableMark = tableMark{Rows: t.sum.Rows, Digest: t.sum.String()}
		mark.Jobs, mark.Paths, mark.Nulls = t.tally.jobs, t.tally.paths, t.tally.nulls
		mark.Dated = t.tally.jobs > 0 || t.tally.nulls > 0
		w.w.Tables[t.Name] = mark
	}
	if w.w.Files, err = stampFiles(w.source.dir); err != nil {
		return err
	}
	w.w.Warnings = w.warnings
	return w.w.write(ctx, (warmer{w.runner}))
}

func (w *warming) finish(ctx context.Context) error {
	var rows int64
	for _, t := range w.whole.tables {
		mark := w.w.Tables[t.Name]
		if mark.Cold != "" && t.conn != nil {
			progress.Line(ctx, "  %s is loaded after the stop: %s", t.Name, mark.Cold)
		}
		rows += mark.Rows
	}
	w.out.Changed = true
	w.out.Data["warm"] = map[string]any{"rows": rows}
	w.out.Msg = fmt.Sprintf("%s rows are in PostgreSQL before the stop, every value compared; "+
		"after it, only what has changed since is moved",
		human.Number(rows))
	if err := w.analyze(ctx); err != nil {
		w.warnings.add("ANALYZE did not run (%v); autovacuum will do it later", w.explain(err))
	}
	w.clock.lap("analyze")
	if err := w.finds.save(); err != nil {
		return err
	}
	return journal.Append(w.state.Journal(), cidx.DatabaseModule, cidx.DatabaseWarm, map[string]any{"rows": rows})
}
