package warm

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"cidx-cluster/modules/internal/copies"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/pages"
	"cidx-cluster/modules/internal/sqlite"
)

// fit finds out whether the warm load is of this server, whole, and by the same
// rules.
func (c *CatchUp) fit(dir string) error {
	f := c.found
	if f.State != stateWarm {
		return unfit("it was given up by a rollback")
	}
	if why := f.foreign(); why != "" {
		return unfit("%s", why)
	}
	stamps, err := copies.Stamps(dir)
	if err != nil || !maps.Equal(stamps, f.Files) {
		return unfit("the databases that it was made from are not in %s any more", dir)
	}
	for _, t := range c.Every {
		if mark, ok := f.Tables[t.Name]; !ok || mark.Rules != f.rules(t.Table) {
			return unfit("table %s is defined, or would be converted, in another way since", t.Name)
		}
	}
	if len(c.Every) != len(f.Tables) {
		return unfit("it has more tables")
	}
	return nil
}

// difference compares the databases as they were loaded with what the server
// left.
func (c *CatchUp) difference(ctx context.Context, dir string, now map[string]*sqlite.Conn) error {
	differ := map[string]*pages.Pages{}
	defer func() {
		for _, p := range differ {
			p.Close()
		}
	}()
	for file, conn := range now {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // its tables are not in the warm load
		}
		old, err := sqlite.OpenCopy(path, conn.Name())
		if err != nil {
			return Unfit{err}
		}
		c.files[file] = old
		c.Meter.Begin("comparing "+file+" with what was loaded before the stop", 0, "")
		if differ[file], err = pages.Compare(ctx, old, conn); err != nil {
			return Unfit{err}
		}
	}
	for _, t := range c.Every {
		if err := c.changesOf(t, differ[t.File]); err != nil {
			return err
		}
	}
	return c.parents()
}

// changesOf lists the rows of a table that may have changed; a table that has to
// be loaded as a whole is put to the cold ones.
func (c *CatchUp) changesOf(t *load.Transfer, differ *pages.Pages) error {
	d := &delta{Transfer: t, record: c.found.Record, mark: c.found.Tables[t.Name], old: *t.Table}
	d.old.Moment = d.record.Started
	ok := d.mark.Cold == "" && differ != nil
	var err error
	if ok {
		d.old.Conn = c.files[t.File]
		if d.ids, ok, err = differ.Rows(t.From.Name); err != nil {
			return Unfit{err}
		}
	}
	if ok && d.mark.Jobs+d.mark.Nulls > 0 { // rows carry the moment of the load
		if err = d.addDated(); err != nil {
			return Unfit{err}
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
		t.Guests = &load.Guests{Above: d.mark.Above}
	}
	d.target, t.Proof = targetOf(t), d.arrived
	c.hot = append(c.hot, d)
	return nil
}

// parents refuses a table that is loaded as a whole while others, which are not,
// refer to it: deleting its rows would take theirs along.
func (c *CatchUp) parents() error {
	for _, d := range c.hot {
		for _, f := range d.To.ForeignKeys {
			parent := c.Every.Find(f.Table)
			if parent != nil && parent.Conn != nil && slices.Contains(c.cold, parent) {
				return unfit("most rows of %s have changed, to which %s refers", parent.Name, d.Name)
			}
		}
	}
	return nil
}
