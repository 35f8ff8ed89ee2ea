package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
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
	w *warmth
}

// errNotWarm ends a warm load that cannot be built upon. It is no fault: all of
// the data is loaded after the stop.
type errNotWarm struct{ why string }

func (e errNotWarm) Error() string { return e.why }

// loadWarm is the phase warm.
func (r *runner) loadWarm(ctx context.Context) error {
	r.out.Data["phase"] = phaseWarm
	if why, err := r.tooLate(); why != "" || err != nil {
		r.out.Skipped = why
		return err
	}
	err := r.prepare(ctx)
	if err == nil {
		r.clock.lap("prepare")
		err = r.warmUp(ctx)
	}
	var not errNotWarm
	if errors.As(err, &not) {
		r.out.Skipped = not.why + "; everything is loaded after the stop"
		err = nil
	}
	if r.session == nil || !r.committed {
		return errors.Join(err, os.RemoveAll(r.state.Warm()))
	}
	return err
}

// tooLate says why there is nothing to be loaded before the stop.
func (s *settings) tooLate() (string, error) {
	if s.mode.Check {
		return "a check changes nothing", nil
	}
	standing, err := s.args.Standing()
	if err == nil && standing.Unfinished() {
		return "the server is stopped already; everything is loaded at once", nil
	}
	return "", err
}

func (r *runner) warmUp(ctx context.Context) error {
	m, err := loaded.Latest(ctx, r.conn)
	if err != nil {
		return r.explain(err)
	}
	if r.held.marker = m; m != nil && m.RolledBack == "" {
		return errNotWarm{"PostgreSQL holds a load of " + m.Committed + " already"}
	}
	if _, err := r.ensureSchema(ctx); err != nil {
		return err
	}
	var problems problem.List
	problems.Add(r.lookAhead(ctx))
	problems.Add(r.checked())
	if err := problems.Err(); err != nil {
		return err
	}
	r.clock.lap("plan")
	w, err := r.warming(ctx)
	if err != nil {
		return r.explain(err)
	}
	err = w.run(ctx)
	r.done = r.plan.transfers()
	for i, t := range r.done {
		r.done[i] = cmp.Or(w.every.find(t.Name), t)
	}
	switch {
	case w.refused && r.args.Quarantine:
		return errNotWarm{"rows go to quarantine"}
	case w.refused: // what a rehearsal of the whole load takes is loaded after the stop
		if problems := append(r.name(ctx), r.finds.list(&r.lists)...); len(problems) > 0 {
			return errors.Join(problems, r.lists.save())
		}
		return errNotWarm{r.explain(err).Error()}
	case err != nil:
		return r.explain(err)
	}
	return r.finishWarm(ctx, w.w)
}

// warming chooses what is loaded before the stop: all but the tables that are
// loaded as a whole after it, and those that refer to them.
func (r *runner) warming(ctx context.Context) (*warming, error) {
	record := &warmth{Source: filepath.Base(r.source.dir), State: stateWarm, Home: r.args.Home, Host: hostName(),
		Database: r.held.database, Started: r.moment, Tables: map[string]warmMark{}}
	hot := r.work
	hot.plan = &plan{}
	for _, t := range r.plan.tables {
		cold, above, err := r.cold(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, f := range t.To.ForeignKeys {
			if mark, known := record.Tables[f.Table]; known && mark.Cold != "" && f.Table != t.Name && cold == "" {
				cold = "refers to " + f.Table
			}
		}
		record.Tables[t.Name] = warmMark{Rules: t.rules(r.settings), Cold: cold, Above: above}
		if cold == "" {
			hot.plan.tables = append(hot.plan.tables, t)
		}
	}
	return &warming{hot.passage(), record}, nil
}

// cold says why a table is not loaded before the stop; "" if it is.
func (w *work) cold(ctx context.Context, t *table) (why string, above int64, err error) {
	switch {
	case t.Conn == nil:
		return "not in the source", 0, nil
	case t.File == cidx.Activated:
		return "built from files", 0, nil
	case t.From.RowID == "":
		return "has no row ids", 0, nil
	case !t.Grows:
		return "", 0, nil
	case !t.Numbered() || w.held.marker != nil:
		return "index runs write to it", 0, nil
	}
	return reserve(ctx, w.session, w.held.warm, t)
}

// run loads it.
func (w *warming) run(ctx context.Context) error {
	return w.passage.run(ctx, []step{
		{"lock", true, (*passage).lockTables},
		{"lock", true, w.clear},
		{"lock", true, (*passage).dropIndexes},
		{"copy", true, (*passage).copyTables},
		{"copy", true, (*passage).runDeferred},
		{"indexes", true, (*passage).rebuildIndexes},
		{"verify", false, (*passage).sourceUnchanged},
		{"verify", true, w.record},
		{"verify", true, (*passage).runDeferred},
		{"verify", true, (*passage).compare},
		{"commit", false, (*passage).alone},
		{"commit", true, (*passage).seal},
		{"commit", false, w.end},
	})
}

// clear makes room for the rows. What index runs have written is out of the way.
func (w *warming) clear(p *passage, ctx context.Context) error {
	all := p.tables
	defer func() { p.tables = all }()
	p.tables = slices.DeleteFunc(slices.Clone(all), func(t *transfer) bool { return t.Grows })
	if err := p.clearTarget(ctx); err != nil {
		return err
	}
	for _, t := range all {
		if !t.Grows {
			continue
		}
		t.status, t.guests = statusEmpty, &guests{above: w.w.Tables[t.Name].Above}
		if err := postgres.Run(ctx, p.conn, "DELETE FROM "+t.To.Qualified()+t.ours()); err != nil {
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
	for _, t := range p.every {
		count, err := t.target().Count(ctx, p.conn, w.w.Xid, 0)
		if err != nil {
			return err
		}
		if count.Earlier != t.sum.Rows || count.Others > 0 {
			return errNotWarm{fmt.Sprintf("rows of %s are written by triggers in transactions of their own", t.Name)}
		}
		mark := w.w.Tables[t.Name]
		mark.tableMark = tableMark{Rows: t.sum.Rows, Digest: t.sum.String()}
		mark.Jobs, mark.Paths, mark.Nulls = t.tally.Jobs, t.tally.Paths, t.tally.Nulls
		mark.Dated = t.tally.Jobs > 0 || t.tally.Nulls > 0
		w.w.Tables[t.Name] = mark
	}
	if w.w.Files, err = stampFiles(w.source.dir); err != nil {
		return err
	}
	w.w.Warnings = w.warnings
	return w.w.write(ctx, w.session)
}

func (r *runner) finishWarm(ctx context.Context, w *warmth) error {
	var rows int64
	for _, t := range r.plan.tables {
		mark := w.Tables[t.Name]
		if mark.Cold != "" && t.Conn != nil {
			progress.Line(ctx, "  %s is loaded after the stop: %s", t.Name, mark.Cold)
		}
		rows += mark.Rows
	}
	r.out.Changed = true
	r.out.Data["warm"] = map[string]any{"rows": rows}
	r.out.Msg = human.Number(rows) + " rows are in PostgreSQL before the stop, every value compared; " +
		"after it, only what has changed since is moved"
	r.analyze(ctx)
	if err := r.lists.save(); err != nil {
		return err
	}
	return journal.Append(r.state.Journal(), home.DatabaseModule, home.DatabaseWarm, map[string]any{"rows": rows})
}
