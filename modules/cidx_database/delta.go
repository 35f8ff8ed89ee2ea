package database

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/sqlite"
	"cidx-cluster/modules/internal/warm"
)

// delta is what has changed in a table since the warm load.
type delta struct {
	w      *warmth
	mark   warmMark
	old    table   // the table as it was loaded
	ids    []int64 // SQLite's rows that may have changed
	target warm.Target
	now    warm.Xid

	leaving, coming            digest.Sum // of the rows that are changed or deleted, changed or added
	deleted, updated, inserted int64
	tally                      tally
}

func (d *delta) changed() int64 { return d.leaving.Rows + d.coming.Rows }

// addDated adds the rows that carry the moment of the load: they are to carry
// that of this one.
func (d *delta) addDated() error {
	var conditions []string
	for _, c := range d.old.columns {
		if c.Null == cidx.Moment && c.NotNull {
			conditions = append(conditions, sqlite.Quote(c.Source)+" IS NULL")
		}
		if a := d.old.Active; a != nil && c.Source == a.Status {
			quote := func(status string) string { return "'" + strings.ReplaceAll(status, "'", "''") + "'" }
			conditions = append(conditions, sqlite.Quote(c.Source)+" IN ("+join(a.Active, ", ", quote)+")")
		}
	}
	if len(conditions) == 0 {
		return nil
	}
	rows, err := d.old.conn.Query("SELECT " + d.old.from.RowID + " FROM " + sqlite.Quote(d.old.from.Name) +
		" WHERE " + strings.Join(conditions, " OR "))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		d.ids = append(d.ids, rows.Int(0))
	}
	slices.Sort(d.ids)
	d.ids = slices.Compact(d.ids)
	return rows.Err()
}

// changes reads the rows that may have changed from both sides, and makes tuples
// of those that have.
type changes struct {
	d             *delta
	ids           []int64
	before, after *reader
	old, fresh    encoder
}

// picker reads single rows by their id.
func (t *table) picker() (*reader, error) {
	return t.reader(nil, " WHERE "+rowID+" = ?", sqlite.IntegerValue(0))
}

// pick moves to a row. of is what was changed in it.
func (d *reader) pick(id int64) (found bool, of tally, err error) {
	if err := d.rows.Again(sqlite.IntegerValue(id)); err != nil {
		return false, of, err
	}
	was := d.tally
	found = d.next()
	return found, d.tally.minus(was), d.rows.Err()
}

// stage puts the rows that have changed beside the table, and makes sure that
// PostgreSQL has those that are to go as they were loaded.
func (d *delta) stage(ctx context.Context, c *catchUp, t *transfer) error {
	if len(d.ids) == 0 {
		return nil
	}
	before, err := d.old.picker()
	if err != nil {
		return err
	}
	defer before.rows.Close()
	after, err := t.picker()
	if err != nil {
		return err
	}
	defer after.rows.Close()
	ch := &changes{d: d, ids: d.ids, before: before, after: after,
		old: newEncoder(t.table, true), fresh: newEncoder(t.table, true)}
	c.meter.begin(t.Name, int64(len(d.ids)), "changed since the warm load")
	s := newStream(ctx, c.meter)
	s.next = ch.next
	if err := s.end(d.target.Stage(ctx, c.conn, s)); err != nil {
		return err
	}
	d.leaving, d.coming = ch.old.sum, ch.fresh.sum
	c.doubtTimes(t.table, ch.fresh.columns)
	if d.leaving.Rows == 0 {
		return nil
	}
	there, err := t.sumOf(ctx, c.conn, c.meter, d.target.Leaving(d.w.Xid))
	if err == nil && there != d.leaving {
		err = unfit("somebody has written to table %s in PostgreSQL: of %d rows that changed, %d are there as they were loaded",
			t.Name, d.leaving.Rows, there.Rows)
	}
	return err
}

// next appends the tuples of the next row that has changed.
func (c *changes) next(dst []byte) ([]byte, error) {
	for len(c.ids) > 0 {
		id := c.ids[0]
		c.ids = c.ids[1:]
		was, old, err := c.before.pick(id)
		if err != nil {
			return dst, err
		}
		is, fresh, err := c.after.pick(id)
		if err != nil {
			return dst, err
		}
		if was == is && (!was || slices.EqualFunc(c.before.values(), c.after.values(), same)) {
			continue
		}
		if was {
			if dst, err = flagged(dst, &c.old, c.before, true); err != nil {
				return dst, err
			}
			c.d.tally = c.d.tally.minus(old)
		}
		if is {
			if dst, err = flagged(dst, &c.fresh, c.after, false); err != nil {
				return dst, err
			}
			c.d.tally = c.d.tally.plus(fresh)
		}
		return dst, nil
	}
	return dst, io.EOF
}

// flagged appends a tuple with a last column: whether the row is to go.
func flagged(dst []byte, e *encoder, d *reader, old bool) ([]byte, error) {
	start := len(dst)
	dst, fault := e.append(dst, d.values())
	if fault != nil {
		return dst, errMisfit
	}
	binary.BigEndian.PutUint16(dst[start:], uint16(len(d.values())+1))
	flag := byte(0)
	if old {
		flag = 1
	}
	return append(dst, 0, 0, 0, 1, flag), nil
}

// same reports whether two values are of one class and equal, bit by bit.
func same(a, b sqlite.Value) bool {
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

func (d *delta) remove(ctx context.Context, conn *pgconn.PgConn) (err error) {
	if d.leaving.Rows > 0 {
		d.deleted, err = d.target.Delete(ctx, conn)
	}
	return err
}

func (d *delta) put(ctx context.Context, conn *pgconn.PgConn) (err error) {
	if d.coming.Rows > 0 {
		d.updated, d.inserted, err = d.target.Put(ctx, conn)
	}
	if err == nil && (d.deleted+d.updated != d.leaving.Rows || d.updated+d.inserted != d.coming.Rows) {
		err = unfit("PostgreSQL has changed %d, added %d and deleted %d rows where %d were to go and %d to come",
			d.updated, d.inserted, d.deleted, d.leaving.Rows, d.coming.Rows)
	}
	return err
}

// arrived is the digest of the table. Rows that carry the warm load's id are rows
// that it compared, as it compared them; if they are as many as it loaded less
// those that went, they are exactly these. Rows that carry ours are read back.
func (d *delta) arrived(ctx context.Context, conn *pgconn.PgConn, m *meter) (digest.Sum, error) {
	sum, err := d.mark.Sum()
	if err != nil {
		return sum, err
	}
	count, err := d.target.Count(ctx, conn, d.w.Xid, d.now)
	if err != nil {
		return sum, err
	}
	if want := (warm.Counts{Earlier: d.mark.Rows - d.leaving.Rows, Ours: d.coming.Rows}); count != want {
		return sum, unfit("somebody has written to table %s in PostgreSQL since it was loaded: "+
			"%d rows are as they were loaded instead of %d, "+
			"%d are written by nobody of us", d.old.Name, count.Earlier, want.Earlier, count.Others+count.Ours-want.Ours)
	}
	if d.changed() == 0 {
		return sum, nil
	}
	came, err := d.old.sumOf(ctx, conn, m, d.target.Arrived(d.now))
	return sum.Minus(d.leaving).Plus(came), err
}
