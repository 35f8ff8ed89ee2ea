package warm

import (
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/sqlite"
)

// delta is what has changed in a table since the warm load.
type delta struct {
	*load.Transfer
	record *Record
	mark   Mark
	old    load.Table // the table as it was loaded
	ids    []int64    // SQLite's rows that may have changed
	target target
	now    Xid

	leaving, coming            digest.Sum // of the rows that are changed or deleted, changed or added
	deleted, updated, inserted int64
	tally                      load.Tally
}

func (d *delta) changed() int64 { return d.leaving.Rows + d.coming.Rows }

// addDated adds the rows that carry the moment of the load: they are to carry
// that of this one.
func (d *delta) addDated() error {
	var conditions []string
	for _, c := range d.old.Columns {
		if c.Dated && c.NotNull {
			conditions = append(conditions, sqlite.Quote(c.Source)+" IS NULL")
		}
		if a := d.old.Active; a != nil && c.Source == a.Status {
			quote := func(status string) string { return "'" + strings.ReplaceAll(status, "'", "''") + "'" }
			conditions = append(conditions, sqlite.Quote(c.Source)+" IN ("+load.Join(a.Active, ", ", quote)+")")
		}
	}
	if len(conditions) == 0 {
		return nil
	}
	rows, err := d.old.Conn.Query("SELECT " + d.old.From.RowID + " FROM " + sqlite.Quote(d.old.From.Name) +
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
	before, after *load.Reader
	old, fresh    load.Encoder
}

// stage puts the rows that have changed beside the table, and makes sure that
// PostgreSQL has those that are to go as they were loaded.
func (d *delta) stage(ctx context.Context, p *load.Passage) error {
	if len(d.ids) == 0 {
		return nil
	}
	before, err := d.old.Picker()
	if err != nil {
		return err
	}
	defer before.Stop()
	after, err := d.Picker()
	if err != nil {
		return err
	}
	defer after.Stop()
	ch := &changes{d: d, ids: d.ids, before: before, after: after,
		old: load.NewEncoder(d.Table, true), fresh: load.NewEncoder(d.Table, true)}
	p.Meter.Begin(d.Name, int64(len(d.ids)), "changed since the warm load")
	s := load.NewStream(ctx, p.Meter, ch.next)
	if err := s.End(d.target.stage(ctx, p.Conn, s)); err != nil {
		return err
	}
	d.leaving, d.coming = ch.old.Sum, ch.fresh.Sum
	p.DoubtTimes(d.Table, ch.fresh.Columns)
	if d.leaving.Rows == 0 {
		return nil
	}
	there, err := d.SumOf(ctx, p.Conn, p.Meter, d.target.leaving(d.record.Xid))
	if err == nil && there != d.leaving {
		err = unfit("somebody has written to table %s in PostgreSQL: of %d rows that changed, %d are there as they were loaded",
			d.Name, d.leaving.Rows, there.Rows)
	}
	return err
}

// next appends the tuples of the next row that has changed.
func (c *changes) next(dst []byte) ([]byte, error) {
	for len(c.ids) > 0 {
		id := c.ids[0]
		c.ids = c.ids[1:]
		was, old, err := c.before.Pick(id)
		if err != nil {
			return dst, err
		}
		is, fresh, err := c.after.Pick(id)
		if err != nil {
			return dst, err
		}
		if was == is && (!was || slices.EqualFunc(c.before.Values(), c.after.Values(), load.Same)) {
			continue
		}
		if was {
			if dst, err = flagged(dst, &c.old, c.before, true); err != nil {
				return dst, err
			}
			c.d.tally = c.d.tally.Minus(old)
		}
		if is {
			if dst, err = flagged(dst, &c.fresh, c.after, false); err != nil {
				return dst, err
			}
			c.d.tally = c.d.tally.Plus(fresh)
		}
		return dst, nil
	}
	return dst, io.EOF
}

// flagged appends a tuple with a last column: whether the row is to go.
func flagged(dst []byte, e *load.Encoder, d *load.Reader, old bool) ([]byte, error) {
	start := len(dst)
	dst, fault := e.Append(dst, d.Values())
	if fault != nil {
		return dst, load.ErrMisfit
	}
	binary.BigEndian.PutUint16(dst[start:], uint16(len(d.Values())+1))
	flag := byte(0)
	if old {
		flag = 1
	}
	return append(dst, 0, 0, 0, 1, flag), nil
}

func (d *delta) put(ctx context.Context, conn *pgconn.PgConn) (err error) {
	if d.coming.Rows > 0 {
		d.updated, d.inserted, err = d.target.put(ctx, conn)
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
func (d *delta) arrived(ctx context.Context, p *load.Passage) (digest.Sum, error) {
	sum, err := d.mark.Sum()
	if err != nil {
		return sum, err
	}
	count, err := d.target.count(ctx, p.Conn, d.record.Xid, d.now)
	if err != nil {
		return sum, err
	}
	if want := (counts{Earlier: d.mark.Rows - d.leaving.Rows, Ours: d.coming.Rows}); count != want {
		return sum, unfit("somebody has written to table %s in PostgreSQL since it was loaded: "+
			"%d rows are as they were loaded instead of %d, "+
			"%d are written by nobody of us", d.Name, count.Earlier, want.Earlier, count.Others+count.Ours-want.Ours)
	}
	if d.changed() == 0 {
		return sum, nil
	}
	came, err := d.old.SumOf(ctx, p.Conn, p.Meter, d.target.arrived(d.now))
	return sum.Minus(d.leaving).Plus(came), err
}
