package database

import (
	"cidx-cluster/modules/internal/human"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/sqlite"
	"cidx-cluster/modules/internal/warm"
)

// catchUp is the transaction that makes a load of a warm load: it moves what has
// changed in SQLite since, and proves that nobody has changed PostgreSQL.
type catchUp struct {
	*passage
	whole *plan
	cold  *plan // tables that are loaded as a whole
	w     *warmth
	files map[string]*sqlite.Conn // the databases as they were loaded, by path below the home
	now   warm.Xid
}

// errUnfit is why a warm load does not count. Everything is loaded then.
type errUnfit struct{ why error }

func (e errUnfit) Error() string { return e.why.Error() }

func unfit(format string, args ...any) error { return errUnfit{fmt.Errorf(format, args...)} }

// fromWarm makes a load of what was loaded before the stop. done is false if
// there is nothing, or if it does not fit; then everything is to be loaded.
func (r warmer) fromWarm(ctx context.Context) (done bool, err error) {
	w := r.plan.warm
	if w == nil {
		return false, nil
	}
	whole := r.plan
	c := &catchUp{passage: &passage{runner: r.runner, end: (*passage).commit}, whole: whole, cold: &plan{warm: w}, w: w,
		files: map[string]*sqlite.Conn{}}
	defer c.close()
	err = c.fit(ctx)
	r.clock.lap("difference")
	if err == nil {
		err = c.run(ctx)
	}
	r.plan = whole
	var not errUnfit
	if err == nil || !errors.As(err, &not) || ctx.Err() != nil {
		return err == nil, err
	}
	why := r.explain(not.why).Error()
	progress.Line(ctx, "  What was loaded before the stop does not count, everything is loaded now: %s", why)
	r.warnings.add("what was loaded before the stop did not count, and everything was loaded after it: %s", why)
	r.out.Data["warm"] = map[string]any{"reason": why}
	r.changes = tally{}
	if err := r.makePlan(); err != nil {
		return false, err
	}
	r.plan.warm = w
	return false, nil
}

func (c *catchUp) close() {
	for _, conn := range c.files {
		conn.Close()
	}
	for _, t := range c.whole.tables {
		if t.delta != nil {
			t.delta.old.conn = nil
		}
	}
}

// fit finds out whether the warm load is of this server, whole, and by the same
// rules; and what has changed since.
func (c *catchUp) fit(ctx context.Context) error {
	w := c.w
	if w.State != stateWarm {
		return unfit("it was given up by a rollback")
	}
	if w.Home != c.args.Home || w.Host != hostName() {
		return unfit("it is of another server, %s on %s", w.Home, w.Host)
	}
	stamps, err := stampFiles(c.state.Warm(w.Source))
	if err != nil || !maps.Equal(stamps, w.Files) {
		return unfit("the databases that it was made from are not in %s any more", c.state.Warm(w.Source))
	}
	known := 0
	for _, t := range c.whole.tables {
		mark, ok := w.Tables[t.Name]
		if !ok || mark.Rules != (warmer{c.runner}).rules(t) {
			return unfit("table %s is defined, or would be converted, in another way since", t.Name)
		}
		known++
	}
	if known != len(w.Tables) {
		return unfit("it has more tables")
	}
	return c.difference(ctx)
}

// difference compares the databases as they were loaded with what the server
// left.
func (c *catchUp) difference(ctx context.Context) error {
	pages := map[string]*warm.Pages{}
	defer func() {
		for _, p := range pages {
			p.Close()
		}
	}()
	for file, conn := range c.source.files {
		path := filepath.Join(c.state.Warm(c.w.Source), file)
		if !exists(path) {
			continue // its tables are not in the warm load
		}
		old, err := sqlite.OpenCopy(path, filepath.Join(c.args.Home, file))
		if err != nil {
			return errUnfit{err}
		}
		c.files[file] = old
		c.meter.begin("comparing "+file+" with what was loaded before the stop", 0, "")
		if pages[file], err = warm.Compare(ctx, old, conn); err != nil {
			return errUnfit{err}
		}
	}
	for _, t := range c.whole.tables {
		if err := c.changesOf(t, pages[t.File]); err != nil {
			return err
		}
	}
	return c.parents()
}

// changesOf lists the rows of a table that may have changed; a table that has to
// be loaded as a whole is put to the cold ones.
func (c *catchUp) changesOf(t *table, pages *warm.Pages) error {
	d := &delta{mark: c.w.Tables[t.Name], old: *t, target: t.target(), w: c.w}
	ok := d.mark.Cold == "" && pages != nil
	var err error
	if ok {
		d.old.conn = c.files[t.File]
		if d.ids, ok, err = pages.Rows(t.from.Name); err != nil {
			return errUnfit{err}
		}
	}
	if ok && d.mark.Dated {
		if err = d.addDated(); err != nil {
			return errUnfit{err}
		}
	}
	if ok && t.Grows {
		highest, err := t.highest(t.columns[t.key[0]].Name)
		if err != nil {
			return err
		}
		ok = highest <= d.mark.Above
	}
	if !ok || len(d.ids) > 0 && len(t.key) == 0 || int64(len(d.ids)) > d.mark.Rows/2+1000 {
		c.cold.tables = append(c.cold.tables, t)
		return nil
	}
	if t.Grows {
		t.guests = &guests{above: d.mark.Above}
		d.target = t.target()
	}
	t.delta = d
	return nil
}

// parents refuses a table that is loaded as a whole while others, which are not,
// refer to it: deleting its rows would take theirs along.
func (c *catchUp) parents() error {
	for _, t := range c.whole.tables {
		for _, f := range t.to.ForeignKeys {
			parent := c.whole.table(f.Table)
			if t.delta != nil && parent != nil && parent != t && parent.delta == nil && parent.conn != nil {
				return unfit("most rows of %s have changed, to which %s refers", parent.Name, t.Name)
			}
		}
	}
	return nil
}

func (c *catchUp) run(ctx context.Context) error {
	steps := []step{
		{"lock", false, (*passage).lockTables},
		{"copy", false, c.doubted(c.apply)},
		{"copy", false, c.doubted(c.only((*passage).clearTarget))},
		{"copy", false, c.doubted(c.only((*passage).dropIndexes))},
		{"copy", false, c.doubted(c.only((*passage).copyTables))},
		{"copy", false, c.doubted((*passage).runDeferred)},
		{"indexes", false, c.doubted((*passage).rebuildIndexes)},
		{"indexes", false, (*passage).storeSecrets},
		{"indexes", false, (*passage).setSequences},
		{"verify", false, func(p *passage, _ context.Context) error { return p.source.unchanged() }},
		{"verify", false, (*passage).forgetWarmth},
		{"verify", false, (*passage).writeMarker},
		{"verify", false, c.doubted((*passage).runDeferred)},
		{"verify", false, c.doubted((*passage).compare)},
		{"verify", false, (*passage).compareSecrets},
		{"commit", false, (*passage).alone},
		{"commit", false, c.doubted((*passage).seal)},
		{"commit", false, c.end},
	}
	return c.carry(ctx, steps)
}

// doubted is a step whose failure may lie in the warm load: everything is loaded
// then, which does it again and names what is wrong.
func (c *catchUp) doubted(do func(*passage, context.Context) error) func(*passage, context.Context) error {
	return func(p *passage, ctx context.Context) error {
		err := do(p, ctx)
		var not errUnfit
		if err == nil || ctx.Err() != nil || postgres.Lost(err) || p.conn.IsClosed() || errors.As(err, &not) {
			return err
		}
		return errUnfit{err}
	}
}

// only is a step for the tables that are loaded as a whole.
func (c *catchUp) only(do func(*passage, context.Context) error) func(*passage, context.Context) error {
	return func(p *passage, ctx context.Context) error {
		all := p.tables
		defer func() { p.tables = all }()
		p.tables = c.cold.tables
		return do(p, ctx)
	}
}

// apply brings the tables of the warm load up to date: rows that are gone are
// deleted children first, the others come parents first.
func (c *catchUp) apply(p *passage, ctx context.Context) (err error) {
	if c.now, err = warm.Current(ctx, c.conn); err != nil {
		return err
	}
	if !c.w.Xid.Known(c.now) {
		return unfit("too many transactions have passed since")
	}
	var hot []*table
	for i, t := range c.whole.tables {
		if t.delta == nil {
			continue
		}
		hot = append(hot, t)
		if err := c.countGuests(ctx, t); err != nil {
			return err
		}
		t.delta.now, t.delta.target.Staged = c.now, fmt.Sprintf("cidx_delta_%d", i)
		if err := t.delta.stage(ctx, c, t); err != nil {
			return err
		}
	}
	for i := len(hot) - 1; i >= 0; i-- {
		if err := hot[i].delta.remove(ctx, p); err != nil {
			return fmt.Errorf("table %s: %w", hot[i].Name, err)
		}
	}
	for _, t := range hot {
		if err := t.delta.put(ctx, p); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return c.tell(ctx, hot)
}

// tell says what was there and what has come, as a load does.
func (c *catchUp) tell(ctx context.Context, hot []*table) error {
	var rows, changed, added, deleted int64
	for _, t := range hot {
		d := t.delta
		sum, err := d.mark.sum()
		if err != nil {
			return err
		}
		t.sum = sum.Minus(d.leaving).Plus(d.coming)
		t.rows, t.status = t.sum.Rows, statusLoaded
		c.count(tally{d.mark.Jobs + d.tally.jobs, d.mark.Paths + d.tally.paths, d.mark.Nulls + d.tally.nulls})
		c.warnTimes(t)
		c.warnDangling(t)
		rows, changed, added, deleted = rows+sum.Rows, changed+d.updated, added+d.inserted, deleted+d.deleted
		progress.Line(ctx, "  Migrating %s... %s rows OK", t.Name, human.Number(t.rows))
	}
	for _, text := range c.w.Warnings {
		c.warnings.add("%s", text)
	}
	c.out.Data["warm"] = map[string]any{"rows": rows, "changed": changed, "added": added, "deleted": deleted}
	progress.Line(ctx, "  Of these, %s rows were loaded before the stop; since then %s changed, %s added, %s deleted",
		human.Number(rows), human.Number(changed), human.Number(added), human.Number(deleted))
	return nil
}
