package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/warm"
)

// loadWarm is the phase warm.
func (r *runner) loadWarm(ctx context.Context) error {
	r.out.Data["phase"] = phaseWarm
	if why, err := r.tooLate(); why != "" || err != nil {
		r.out.Skipped = why
		return err
	}
	err := r.prepare(ctx)
	if err == nil {
		r.Clock.Lap("prepare")
		err = r.warmUp(ctx)
	}
	var not warm.Unfit
	if errors.As(err, &not) {
		r.out.Skipped = not.Error() + "; everything is loaded after the stop"
		err = nil
	}
	if r.Session == nil || !r.Committed {
		return errors.Join(err, os.RemoveAll(r.State.Warm()))
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
	m, err := loaded.Latest(ctx, r.Conn)
	if err != nil {
		return r.Explain(err)
	}
	if r.held.marker = m; m != nil && m.RolledBack == "" {
		return warm.Unfit{Why: errors.New("PostgreSQL holds a load of " + m.Committed + " already")}
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
	r.Clock.Lap("plan")
	w, err := r.held.warm.Warming(ctx, r.engine(), r.source.Dir, r.moment, r.cold)
	if err != nil {
		return r.Explain(err)
	}
	err = w.Run(ctx, r.warmSteps(w))
	r.loaded.Tables = r.engine().Passage().Every
	for i, t := range r.loaded.Tables {
		r.loaded.Tables[i] = cmp.Or(w.Every.Find(t.Name), t)
	}
	switch {
	case w.Refused && r.args.Quarantine:
		return warm.Unfit{Why: errors.New("rows go to quarantine")}
	case w.Refused: // what a rehearsal of the whole load takes is loaded after the stop
		r.loaded, problems = r.order().Name(ctx)
		if problems = append(problems, r.loaded.Finds.List(&r.Lists)...); len(problems) > 0 {
			return errors.Join(problems, r.Lists.Save())
		}
		return warm.Unfit{Why: r.Explain(err)}
	case err != nil:
		return r.Explain(err)
	}
	return r.finishWarm(ctx, w.Record)
}

// cold says why a table is loaded after the stop; "" if that is not for the door
// to say.
func (w *work) cold(t *load.Table) string {
	switch {
	case t.Conn == nil:
	case t.File == cidx.Activated:
		return "built from files"
	case t.Grows && w.held.marker != nil:
		return "index runs write to it"
	}
	return ""
}

func (r *runner) finishWarm(ctx context.Context, record *warm.Record) error {
	var rows int64
	for _, t := range r.plan.Tables {
		mark := record.Tables[t.Name]
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
	if err := r.Lists.Save(); err != nil {
		return err
	}
	return journal.Append(r.State.Journal(), home.DatabaseModule, home.DatabaseWarm, map[string]any{"rows": rows})
}

// fromWarm makes a load of what was loaded before the stop. done is false if
// there is nothing, or if it does not fit; then everything is to be loaded.
func (r *runner) fromWarm(ctx context.Context) (done bool, err error) {
	if r.held.warm.Record == nil {
		return false, nil
	}
	c, err := r.held.warm.CatchUp(ctx, r.engine(), r.State.Warm(r.held.warm.Source), r.source.Files)
	r.Clock.Lap("difference")
	if err == nil {
		defer c.Close()
		err = c.Run(ctx, r.deltaSteps(c))
	}
	if err == nil {
		r.loaded.Tables = c.Every
		r.out.Data["warm"] = c.Summary
		return true, errors.Join(r.Lists.RemoveOld(), r.finish(ctx))
	}
	var not warm.Unfit
	if !errors.As(err, &not) || ctx.Err() != nil {
		return false, err
	}
	why := r.Explain(not.Why).Error()
	progress.Line(ctx, "  What was loaded before the stop does not count, everything is loaded now: %s", why)
	r.Warnings.Add("what was loaded before the stop did not count, and everything was loaded after it: %s", why)
	r.out.Data["warm"] = map[string]any{"reason": why}
	return false, nil
}

// terms are all that decides what becomes of a row: helper, zone and paths.
func (s *settings) terms() warm.Terms {
	var rules strings.Builder
	fmt.Fprintln(&rules, ansible.Build, s.args.PathSpelling)
	for day := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2040; day = day.AddDate(0, 0, 7) {
		_, offset := day.In(s.zone).Zone() // the host's zone has the same name always
		fmt.Fprint(&rules, offset, " ")
	}
	for _, from := range slices.Sorted(maps.Keys(s.Moves)) {
		fmt.Fprintf(&rules, "%q %q\n", from, s.Moves[from])
	}
	return warm.Terms{Home: s.Home, Host: hostName(), Table: cidx.WarmMarker, Rules: rules.String()}
}
