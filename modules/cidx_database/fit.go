package database

import (
	"context"
	"maps"
	"path/filepath"

	"cidx-cluster/modules/internal/sqlite"
	"cidx-cluster/modules/internal/warm"
)

// fit finds out whether the warm load is of this server, whole, and by the same
// rules; and what has changed since.
func (c *catchUp) fit(ctx context.Context) error {
	w := c.w
	if w.State != stateWarm {
		return unfit("it was given up by a rollback")
	}
	if why := w.foreign(c.settings, c.held.database); why != "" {
		return unfit("%s", why)
	}
	stamps, err := stampFiles(c.state.Warm(w.Source))
	if err != nil || !maps.Equal(stamps, w.Files) {
		return unfit("the databases that it was made from are not in %s any more", c.state.Warm(w.Source))
	}
	known := 0
	for _, t := range c.every {
		mark, ok := w.Tables[t.Name]
		if !ok || mark.Rules != t.rules(c.settings) {
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
		c.meter.Begin("comparing "+file+" with what was loaded before the stop", 0, "")
		if pages[file], err = warm.Compare(ctx, old, conn); err != nil {
			return errUnfit{err}
		}
	}
	for _, t := range c.every {
		if err := c.changesOf(t, pages[t.File]); err != nil {
			return err
		}
	}
	return c.parents()
}

// changesOf lists the rows of a table that may have changed; a table that has to
// be loaded as a whole is put to the cold ones.
func (c *catchUp) changesOf(t *transfer, pages *warm.Pages) error {
	d := &delta{mark: c.w.Tables[t.Name], old: t.Table, target: t.target(), w: c.w}
	d.old.Moment = c.w.Started
	ok := d.mark.Cold == "" && pages != nil
	var err error
	if ok {
		d.old.Conn = c.files[t.File]
		if d.ids, ok, err = pages.Rows(t.From.Name); err != nil {
			return errUnfit{err}
		}
	}
	if ok && d.mark.Dated {
		if err = d.addDated(); err != nil {
			return errUnfit{err}
		}
	}
	if ok && t.Grows {
		highest, err := t.Highest(t.Columns[t.Key[0]].Name)
		if err != nil {
			return err
		}
		ok = highest <= d.mark.Above
	}
	if !ok || len(d.ids) > 0 && len(t.Key) == 0 || int64(len(d.ids)) > d.mark.Rows/2+1000 {
		c.cold = append(c.cold, t)
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
	for _, t := range c.every {
		for _, f := range t.To.ForeignKeys {
			parent := c.every.find(f.Table)
			if t.delta != nil && parent != nil && parent != t && parent.delta == nil && parent.Conn != nil {
				return unfit("most rows of %s have changed, to which %s refers", parent.Name, t.Name)
			}
		}
	}
	return nil
}
