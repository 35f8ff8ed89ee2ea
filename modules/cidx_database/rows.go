package database

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/sqlite"
)

// reader reads the rows of a table as they are to arrive: interrupted jobs
// failed, paths rewritten, NULLs replaced where the catalogue says so.
type reader struct {
	t       *table
	rows    *sqlite.Rows
	all     []sqlite.Value // the row id, then the columns
	moment  []byte
	active  [3]int // columns of the active rule: status, finished, error; -1 if absent
	rewrite []int  // columns with a path rule or a replacement for NULL
	left    []int64
	tally   tally
}

// tally counts what a reader has changed.
type tally struct{ jobs, paths, nulls int64 }

func (t tally) plus(o tally) tally {
	return tally{t.jobs + o.jobs, t.paths + o.paths, t.nulls + o.nulls}
}
func (t tally) minus(o tally) tally {
	return tally{t.jobs - o.jobs, t.paths - o.paths, t.nulls - o.nulls}
}

// readBut starts reading all rows but those with the ids left. They come in the order
// of their ids, or by key.
func (t *table) readBut(left []int64, byKey bool) (*reader, error) {
	order := ""
	if byKey && len(t.key) > 0 {
		order = " ORDER BY " + join(t.key, ", ", func(k int) string { return sqlite.Quote(t.columns[k].Source) })
	}
	return t.reader(left, order)
}

// reader reads the rows of a table that rest selects.
func (t *table) reader(left []int64, rest string, values ...sqlite.Value) (*reader, error) {
	rows, err := t.conn.Query("SELECT "+t.selection()+" FROM "+t.identified()+rest, values...)
	if err != nil {
		return nil, err
	}
	d := &reader{t: t, rows: rows, all: make([]sqlite.Value, len(t.columns)+1), left: left,
		moment: []byte(stampText(t.moment)), active: [3]int{-1, -1, -1}, tally: tally{paths: t.moved}}
	for i, c := range t.columns {
		if c.Path != 0 && len(t.moves) > 0 || c.Null != 0 {
			d.rewrite = append(d.rewrite, i)
		}
		if a := t.Active; a != nil {
			for place, name := range [3]string{a.Status, a.Finished, a.Error} {
				if c.Source == name {
					d.active[place] = i
				}
			}
		}
	}
	return d, nil
}

// rowID is the name under which queries find the id of a row.
const rowID = "cidx_row"

// identified is the table with the id of every row: its row id, or its place by
// key where it has none. Copies never change, so both are stable.
func (t *table) identified() string {
	name := sqlite.Quote(t.from.Name)
	if t.from.RowID != "" {
		return "(SELECT " + t.from.RowID + " AS " + rowID + ", * FROM " + name + ")"
	}
	return "(SELECT row_number() OVER (ORDER BY " + join(t.from.Key, ", ", sqlite.Quote) + ") AS " + rowID + ", * FROM " + name + ")"
}

func (t *table) selection() string {
	return rowID + ", " + join(t.columns, ", ", func(c column) string { return sqlite.Quote(c.Source) })
}

// next moves to the next row that is not left out.
func (d *reader) next() bool {
	for d.rows.Next() {
		d.rows.Read(d.all)
		if len(d.left) > 0 {
			if _, out := slices.BinarySearch(d.left, d.id()); out {
				continue
			}
		}
		d.apply()
		return true
	}
	return false
}

func (d *reader) id() int64              { return d.all[0].Int }
func (d *reader) values() []sqlite.Value { return d.all[1:] }

func (d *reader) close() error {
	defer d.rows.Close()
	if err := d.rows.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", d.t.Name, err)
	}
	return nil
}

func (d *reader) apply() {
	row := d.values()
	if d.active[0] >= 0 {
		d.fail(row)
	}
	for _, i := range d.rewrite {
		v, c := &row[i], &d.t.columns[i]
		switch {
		case v.IsNull() && c.Null == cidx.Zero && c.NotNull:
			*v = sqlite.IntegerValue(0)
			d.tally.nulls++
		case v.IsNull() && c.Null == cidx.Moment && c.NotNull:
			*v = sqlite.Value{Class: sqlite.Text, Bytes: d.moment}
			d.tally.nulls++
		case c.Path != 0 && v.Class == sqlite.Text:
			d.move(v, c.Path)
		}
	}
}

// fail marks the job of a row as failed if it was active.
func (d *reader) fail(row []sqlite.Value) {
	rule := d.t.Active
	status := &row[d.active[0]]
	if status.Class != sqlite.Text || !slices.Contains(rule.Active, string(status.Bytes)) {
		return
	}
	d.tally.jobs++
	*status = sqlite.TextValue(rule.Failed)
	if i := d.active[1]; i >= 0 && row[i].IsNull() {
		row[i] = sqlite.Value{Class: sqlite.Text, Bytes: d.moment}
	}
	if i := d.active[2]; i >= 0 && row[i].IsNull() {
		row[i] = sqlite.TextValue(rule.Text)
	}
}

func (d *reader) move(v *sqlite.Value, rule cidx.PathRule) {
	rewrite := repath.Rewrite
	if rule == cidx.URLRewrite {
		rewrite = repath.RewriteURL
	}
	if len(v.Bytes) == 0 {
		return
	}
	old := unsafe.String(unsafe.SliceData(v.Bytes), len(v.Bytes)) // looked at during the call only
	if moved := rewrite(old, d.t.moves); moved != old {
		v.Bytes = []byte(moved)
		d.tally.paths++
	}
}

// key names a row for a report: its key columns, or the row id where these are
// secret or do not exist.
func (t *table) keyOf(id int64, row []sqlite.Value) string {
	var parts []string
	for _, k := range t.key {
		c := t.columns[k]
		if c.Secret {
			parts = nil
			break
		}
		parts = append(parts, c.Name+"="+row[k].String())
	}
	if len(parts) == 0 {
		return fmt.Sprintf("row %d", id)
	}
	return strings.ToValidUTF8(strings.Join(parts, ", "), "\ufffd")
}

// stampText is a moment as SQLite's text columns hold it.
func stampText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }

// source spells the column of SQLite that fills a column of PostgreSQL.
func (t *table) source(name string) string {
	if i := t.column(name); i >= 0 {
		return sqlite.Quote(t.columns[i].Source)
	}
	return ""
}
