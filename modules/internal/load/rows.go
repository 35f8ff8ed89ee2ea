package load

import (
	"bytes"
	"fmt"
	"slices"
	"unsafe"

	"cidx-cluster/modules/internal/sqlite"
)

// Reader reads the rows of a table as they are to arrive: interrupted jobs
// failed, texts rewritten, NULLs replaced.
type Reader struct {
	t       *Table
	rows    *sqlite.Rows
	all     []sqlite.Value // the row id, then the columns
	moment  []byte
	active  [3]int // columns of the active rule: status, finished, error; -1 if absent
	rewrite []int  // columns that are rewritten or have a replacement for NULL
	left    []int64
	Tally   Tally
}

// Tally counts what a reader has changed.
type Tally struct {
	Jobs  int64 `json:"jobs,omitempty"`
	Paths int64 `json:"paths,omitempty"`
	Nulls int64 `json:"nulls,omitempty"`
}

func (t Tally) Plus(o Tally) Tally {
	return Tally{t.Jobs + o.Jobs, t.Paths + o.Paths, t.Nulls + o.Nulls}
}
func (t Tally) Minus(o Tally) Tally {
	return Tally{t.Jobs - o.Jobs, t.Paths - o.Paths, t.Nulls - o.Nulls}
}

// Read starts reading all rows but those with the ids left. They come in the order
// of their ids, or by key.
func (t *Table) Read(left []int64, byKey bool) (*Reader, error) {
	order := ""
	if byKey && len(t.Key) > 0 {
		order = " ORDER BY " + Join(t.Key, ", ", func(k int) string { return sqlite.Quote(t.Columns[k].Source) })
	}
	return t.reader(left, order)
}

// reader reads the rows of a table that rest selects.
func (t *Table) reader(left []int64, rest string, values ...sqlite.Value) (*Reader, error) {
	columns := Join(t.Columns, "", func(c Column) string { return ", " + sqlite.Quote(c.Source) })
	rows, err := t.Conn.Query("SELECT "+RowID+columns+" FROM "+t.identified()+rest, values...)
	if err != nil {
		return nil, err
	}
	d := &Reader{t: t, rows: rows, all: make([]sqlite.Value, len(t.Columns)+1), left: left,
		moment: []byte(StampText(t.Moment)), active: [3]int{-1, -1, -1}, Tally: Tally{Paths: t.Moved}}
	for i, c := range t.Columns {
		if c.Rewrite != nil || c.Zero || c.Dated {
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

// Next moves to the next row that is not left out.
func (d *Reader) Next() bool {
	for d.rows.Next() {
		d.rows.Read(d.all)
		if _, out := slices.BinarySearch(d.left, d.ID()); !out {
			d.apply()
			return true
		}
	}
	return false
}

// ID is the id of the row, Values what is in it until the next one.
func (d *Reader) ID() int64              { return d.all[0].Int }
func (d *Reader) Values() []sqlite.Value { return d.all[1:] }

// Stop ends reading before the last row.
func (d *Reader) Stop() { d.rows.Close() }

// Close ends reading after the last row; the error is what ended the rows.
func (d *Reader) Close() error {
	defer d.rows.Close()
	if err := d.rows.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", d.t.Name, err)
	}
	return nil
}

func (d *Reader) apply() {
	row := d.Values()
	if d.active[0] >= 0 {
		d.fail(row)
	}
	for _, i := range d.rewrite {
		v, c := &row[i], &d.t.Columns[i]
		switch {
		case v.IsNull() && c.Zero && c.NotNull:
			*v = sqlite.IntegerValue(0)
			d.Tally.Nulls++
		case v.IsNull() && c.Dated && c.NotNull:
			*v = sqlite.Value{Class: sqlite.Text, Bytes: d.moment}
			d.Tally.Nulls++
		case c.Rewrite != nil && v.Class == sqlite.Text:
			d.move(v, c.Rewrite)
		}
	}
}

// fail marks the job of a row as failed if it was active.
func (d *Reader) fail(row []sqlite.Value) {
	rule := d.t.Active
	status := &row[d.active[0]]
	if status.Class != sqlite.Text || !slices.Contains(rule.Active, string(status.Bytes)) {
		return
	}
	d.Tally.Jobs++
	*status = sqlite.TextValue(rule.Failed)
	if i := d.active[1]; i >= 0 && row[i].IsNull() {
		row[i] = sqlite.Value{Class: sqlite.Text, Bytes: d.moment}
	}
	if i := d.active[2]; i >= 0 && row[i].IsNull() {
		row[i] = sqlite.TextValue(rule.Text)
	}
}

func (d *Reader) move(v *sqlite.Value, rewrite func(string) string) {
	if len(v.Bytes) == 0 {
		return
	}
	old := unsafe.String(unsafe.SliceData(v.Bytes), len(v.Bytes)) // looked at during the call only
	if moved := rewrite(old); moved != old {
		v.Bytes = []byte(moved)
		d.Tally.Paths++
	}
}

// Picker reads single rows by their id.
func (t *Table) Picker() (*Reader, error) {
	return t.reader(nil, " WHERE "+RowID+" = ?", sqlite.IntegerValue(0))
}

// Pick moves to a row. of is what was changed in it.
func (d *Reader) Pick(id int64) (found bool, of Tally, err error) {
	if err := d.rows.Again(sqlite.IntegerValue(id)); err != nil {
		return false, of, err
	}
	was := d.Tally
	found = d.Next()
	return found, d.Tally.Minus(was), d.rows.Err()
}

// Same reports whether two values are of one class and equal, bit by bit.
func Same(a, b sqlite.Value) bool {
	if a.Class != b.Class {
		return false
	}
	switch a.Class {
	case sqlite.Integer:
		return a.Int == b.Int
	case sqlite.Real:
		return a.Real == b.Real
	case sqlite.Text, sqlite.Blob:
		return bytes.Equal(a.Bytes, b.Bytes)
	}
	return true
}
