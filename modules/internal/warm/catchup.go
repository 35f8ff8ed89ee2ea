package warm

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
)

// CatchUp is the transaction that makes a load of a warm load: it moves what has
// changed in SQLite since, and proves that nobody has changed PostgreSQL.
type CatchUp struct {
	*load.Passage
	Summary map[string]any // of what came, for the reply
	found   Found
	hot     []*delta
	cold    load.Transfers          // tables that are loaded as a whole
	files   map[string]*sqlite.Conn // the databases as they were loaded, by path below the home
}

// CatchUp finds out whether the warm load can be built upon, and what has changed
// since; else the error is Unfit. dir holds the databases as they were loaded, now
// those that the server left.
func (f Found) CatchUp(ctx context.Context, w load.Work, dir string, now map[string]*sqlite.Conn) (*CatchUp, error) {
	c := &CatchUp{Passage: w.Passage(), found: f, files: map[string]*sqlite.Conn{}}
	err := c.fit(dir)
	if err == nil {
		err = c.difference(ctx, dir, now)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends what is read.
func (c *CatchUp) Close() {
	for _, conn := range c.files {
		conn.Close()
	}
}

// Doubted is a step whose failure may lie in the warm load: everything is loaded
// then, which does it again and names what is wrong.
func (c *CatchUp) Doubted(do func(*load.Passage, context.Context) error) func(*load.Passage, context.Context) error {
	return func(p *load.Passage, ctx context.Context) error {
		err := do(p, ctx)
		var not Unfit
		if err == nil || ctx.Err() != nil || postgres.Lost(err) || p.Conn.IsClosed() || errors.As(err, &not) {
			return err
		}
		return Unfit{err}
	}
}

// Whole is a step, doubted, for the tables that are loaded as a whole.
func (c *CatchUp) Whole(do func(*load.Passage, context.Context) error) func(*load.Passage, context.Context) error {
	return c.Doubted(func(p *load.Passage, ctx context.Context) error {
		all := p.Tables
		defer func() { p.Tables = all }()
		p.Tables = c.cold
		return do(p, ctx)
	})
}

// Apply brings the tables of the warm load up to date: rows that are gone are
// deleted children first, the others come parents first.
func (c *CatchUp) Apply(p *load.Passage, ctx context.Context) (err error) {
	now, err := Current(ctx, p.Conn)
	if err != nil {
		return err
	}
	if !c.found.Xid.Known(now) {
		return unfit("too many transactions have passed since")
	}
	for i, d := range c.hot {
		if err := countGuests(ctx, p.Conn, d.Transfer); err != nil {
			return err
		}
		d.now, d.target.staged = now, fmt.Sprintf("cidx_delta_%d", i)
		if err := d.stage(ctx, p); err != nil {
			return err
		}
		if d.leaving.Rows > 0 {
			d.Status = load.StatusReplaced
		}
	}
	if err := p.Strangers(ctx); err != nil {
		return err
	}
	for i := len(c.hot) - 1; i >= 0; i-- {
		d := c.hot[i]
		if d.leaving.Rows == 0 {
			continue
		}
		if d.deleted, err = d.target.delete(ctx, p.Conn); err != nil {
			return fmt.Errorf("table %s: %w", d.Name, err)
		}
	}
	for _, d := range c.hot {
		if err := d.put(ctx, p.Conn); err != nil {
			return fmt.Errorf("table %s: %w", d.Name, err)
		}
		d.Still = d.changed() == 0
	}
	return c.tell(ctx)
}

// still reports whether neither a table nor what it refers to has changed: what
// there is to be told of it was told before the stop.
func (c *CatchUp) still(t *load.Transfer) bool {
	for _, to := range t.Checked {
		name, _, _ := strings.Cut(to, ".")
		if other := c.Every.Find(name); other != nil && !other.Still {
			return false
		}
	}
	return t.Still
}

// tell says what was there and what has come, as a load does.
func (c *CatchUp) tell(ctx context.Context) error {
	var rows, changed, added, deleted int64
	for _, d := range c.hot {
		sum, err := d.mark.Sum()
		if err != nil {
			return err
		}
		d.Sum = sum.Minus(d.leaving).Plus(d.coming)
		d.Rows, d.Status = d.Sum.Rows, load.StatusLoaded
		d.Tally = d.tally.Plus(d.mark.Tally)
		if !c.still(d.Transfer) {
			c.DoubtReferences(d.Transfer)
		}
		rows, changed, added, deleted = rows+sum.Rows, changed+d.updated, added+d.inserted, deleted+d.deleted
		progress.Line(ctx, "  Migrating %s... %s rows OK", d.Name, human.Number(d.Rows))
	}
	for _, text := range c.found.Warnings {
		c.Warnings.Add("%s", text)
	}
	c.Summary = map[string]any{"rows": rows, "changed": changed, "added": added, "deleted": deleted}
	progress.Line(ctx, "  Before the stop: %s rows; since then: %s changed, %s added, %s deleted",
		human.Number(rows), human.Number(changed), human.Number(added), human.Number(deleted))
	return nil
}
