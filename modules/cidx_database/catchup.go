package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/sqlite"
	"cidx-cluster/modules/internal/warm"
)

// catchUp is the transaction that makes a load of a warm load: it moves what has
// changed in SQLite since, and proves that nobody has changed PostgreSQL.
type catchUp struct {
	*passage
	cold  transfers // tables that are loaded as a whole
	w     *warmth
	files map[string]*sqlite.Conn // the databases as they were loaded, by path below the home

	summary map[string]any // of what came, for the reply
}

// errUnfit is why a warm load does not count. Everything is loaded then.
type errUnfit struct{ why error }

func (e errUnfit) Error() string { return e.why.Error() }

func unfit(format string, args ...any) error { return errUnfit{fmt.Errorf(format, args...)} }

// fromWarm makes a load of what was loaded before the stop. done is false if
// there is nothing, or if it does not fit; then everything is to be loaded.
func (r *runner) fromWarm(ctx context.Context) (done bool, err error) {
	if r.held.warm == nil {
		return false, nil
	}
	c := &catchUp{passage: r.passage(), w: r.held.warm, files: map[string]*sqlite.Conn{}}
	defer c.close()
	err = c.fit(ctx)
	r.clock.lap("difference")
	if err == nil {
		err = c.run(ctx)
	}
	var not errUnfit
	if err == nil {
		r.done, r.kept = c.every, c.stored
		r.out.Data["warm"] = c.summary
		return true, errors.Join(r.lists.removeOld(), r.finish(ctx))
	}
	if !errors.As(err, &not) || ctx.Err() != nil {
		return false, err
	}
	why := r.explain(not.why).Error()
	progress.Line(ctx, "  What was loaded before the stop does not count, everything is loaded now: %s", why)
	r.warnings.add("what was loaded before the stop did not count, and everything was loaded after it: %s", why)
	r.out.Data["warm"] = map[string]any{"reason": why}
	return false, nil
}

func (c *catchUp) close() {
	for _, conn := range c.files {
		conn.Close()
	}
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
		{"verify", false, (*passage).sourceUnchanged},
		{"verify", false, (*passage).forgetWarmth},
		{"verify", false, (*passage).writeMarker},
		{"verify", false, c.doubted((*passage).runDeferred)},
		{"verify", false, c.doubted((*passage).compare)},
		{"verify", false, (*passage).compareSecrets},
		{"verify", false, func(p *passage, _ context.Context) error { return p.checked() }},
		{"commit", false, (*passage).alone},
		{"commit", false, c.doubted((*passage).seal)},
		{"commit", false, c.end},
	}
	return c.passage.run(ctx, steps)
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
		p.tables = c.cold
		return do(p, ctx)
	}
}

// apply brings the tables of the warm load up to date: rows that are gone are
// deleted children first, the others come parents first.
func (c *catchUp) apply(p *passage, ctx context.Context) (err error) {
	now, err := warm.Current(ctx, c.conn)
	if err != nil {
		return err
	}
	if !c.w.Xid.Known(now) {
		return unfit("too many transactions have passed since")
	}
	var hot transfers
	for i, t := range c.every {
		if t.delta == nil {
			continue
		}
		hot = append(hot, t)
		if err := t.countGuests(ctx, c.conn); err != nil {
			return err
		}
		t.delta.now, t.delta.target.Staged = now, fmt.Sprintf("cidx_delta_%d", i)
		if err := t.delta.stage(ctx, c, t); err != nil {
			return err
		}
		if t.delta.leaving.Rows > 0 {
			t.status = statusReplaced
		}
	}
	if err := c.strangers(ctx); err != nil {
		return err
	}
	for i := len(hot) - 1; i >= 0; i-- {
		d := hot[i].delta
		if d.leaving.Rows == 0 {
			continue
		}
		if d.deleted, err = d.target.Delete(ctx, p.conn); err != nil {
			return fmt.Errorf("table %s: %w", hot[i].Name, err)
		}
	}
	for _, t := range hot {
		if err := t.delta.put(ctx, p.conn); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return c.tell(ctx, hot)
}

// still reports whether neither a table nor what it refers to has changed: what
// there is to be told of it was told before the stop.
func (c *catchUp) still(t *transfer) bool {
	quiet := func(t *transfer) bool { return t == nil || t.delta != nil && t.delta.changed() == 0 }
	for _, to := range t.Checked {
		name, _, _ := strings.Cut(to, ".")
		if !quiet(c.every.find(name)) {
			return false
		}
	}
	return quiet(t)
}

// tell says what was there and what has come, as a load does.
func (c *catchUp) tell(ctx context.Context, hot transfers) error {
	var rows, changed, added, deleted int64
	for _, t := range hot {
		d := t.delta
		sum, err := d.mark.Sum()
		if err != nil {
			return err
		}
		t.sum = sum.Minus(d.leaving).Plus(d.coming)
		t.rows, t.status = t.sum.Rows, statusLoaded
		t.tally = d.tally.Plus(load.Tally{Jobs: d.mark.Jobs, Paths: d.mark.Paths, Nulls: d.mark.Nulls})
		if !c.still(t) {
			c.doubtReferences(t.table)
		}
		rows, changed, added, deleted = rows+sum.Rows, changed+d.updated, added+d.inserted, deleted+d.deleted
		progress.Line(ctx, "  Migrating %s... %s rows OK", t.Name, human.Number(t.rows))
	}
	for _, text := range c.w.Warnings {
		c.warnings.add("%s", text)
	}
	c.summary = map[string]any{"rows": rows, "changed": changed, "added": added, "deleted": deleted}
	progress.Line(ctx, "  Before the stop: %s rows; since then: %s changed, %s added, %s deleted",
		human.Number(rows), human.Number(changed), human.Number(added), human.Number(deleted))
	return nil
}
