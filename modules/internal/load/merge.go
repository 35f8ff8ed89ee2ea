package load

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

// Kinds of differences between SQLite and PostgreSQL.
const (
	Added   = "added"   // in PostgreSQL only
	Changed = "changed" // on both sides, with other values
	Lost    = "lost"    // in SQLite only
)

// Difference is a row that is not the same on both sides.
type Difference struct {
	Kind    string
	Key     string
	Columns []string // that differ, of a changed row
	Row     [][]byte // PostgreSQL's fields in canonical form, of an added or changed row
}

func (d Difference) inColumns() string {
	if len(d.Columns) == 0 {
		return ""
	}
	return " (" + strings.Join(d.Columns, ", ") + ")"
}

// canonicalRow is a row in canonical form, field by field.
type canonicalRow struct {
	buf  []byte
	ends []int
}

func (c *canonicalRow) reset() { c.buf, c.ends = c.buf[:0], c.ends[:0] }
func (c *canonicalRow) mark()  { c.ends = append(c.ends, len(c.buf)) }
func (c *canonicalRow) field(i int) []byte {
	from := 0
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.buf[from:c.ends[i]]
}

// merging walks both sides of a table in the order of its key.
type merging struct {
	t      *Table
	d      *Reader
	visit  func(Difference) error
	source digest.Source
	ours   canonicalRow
	theirs canonicalRow
	more   bool
	equal  int64
}

// Merge compares a table row by row, in the order of its key and in constant
// memory; it visits every difference and counts the rows that are equal. Rows of
// SQLite that are left out and rows of PostgreSQL that where excludes do not count.
// The table must have a key.
func (t *Table) Merge(ctx context.Context, conn *pgconn.PgConn, left []int64, where string,
	visit func(Difference) error) (equal int64, err error) {
	m := &merging{t: t, visit: visit}
	if t.Conn != nil {
		if m.d, err = t.Read(left, true); err != nil {
			return 0, err
		}
		defer m.d.rows.Close()
		m.advance()
	}
	tuples := &postgres.Tuples{Row: m.row}
	sql := "COPY (SELECT " + t.Names() + " FROM " + t.To.Qualified() + where +
		" ORDER BY " + t.order() + ") TO STDOUT (FORMAT binary)"
	if _, err := conn.CopyTo(ctx, tuples, sql); err != nil {
		return m.equal, fmt.Errorf("read table %s: %w", t.Name, err)
	}
	if err := tuples.Close(); err != nil {
		return m.equal, err
	}
	for m.more {
		if err := m.lost(); err != nil {
			return m.equal, err
		}
	}
	if m.d == nil {
		return m.equal, nil
	}
	return m.equal, m.d.Close()
}

// order spells the key so that PostgreSQL sorts as SQLite does.
func (t *Table) order() string {
	return Join(t.Key, ", ", func(k int) string {
		if kind := t.Columns[k].Type.Kind; kind == convert.Text || kind == convert.Varchar {
			return postgres.Quote(t.Columns[k].Name) + ` COLLATE "C"`
		}
		return postgres.Quote(t.Columns[k].Name)
	})
}

// advance reads the next row of SQLite into ours.
func (m *merging) advance() {
	m.more = m.d.Next()
	if !m.more {
		return
	}
	m.ours.reset()
	row := m.d.Values()
	for i := range row {
		var fault *convert.Fault
		if m.ours.buf, fault = m.source.Append(m.ours.buf, &m.t.Columns[i].Column, &row[i]); fault != nil {
			m.ours.buf = append(m.ours.buf, 2) // equal to nothing
		}
		m.ours.mark()
	}
}

// row takes the next row of PostgreSQL.
func (m *merging) row(fields [][]byte) error {
	m.theirs.reset()
	for i, field := range fields {
		var err error
		if m.theirs.buf, err = digest.Target(m.theirs.buf, &m.t.Columns[i].Column, field); err != nil {
			return err
		}
		m.theirs.mark()
	}
	for m.more {
		order := m.compareKeys()
		if order > 0 {
			break
		}
		if order == 0 {
			return m.both()
		}
		if err := m.lost(); err != nil {
			return err
		}
	}
	return m.visit(Difference{Kind: Added, Key: m.keyOf(), Row: m.fields()})
}

// lost visits our row, which they do not have, and goes on to the next one.
func (m *merging) lost() error {
	defer m.advance()
	return m.visit(Difference{Kind: Lost, Key: m.t.KeyOf(m.d.ID(), m.d.Values())})
}

// both compares two rows with the same key, and goes on to our next one.
func (m *merging) both() error {
	defer m.advance()
	if bytes.Equal(m.ours.buf, m.theirs.buf) {
		m.equal++
		return nil
	}
	d := Difference{Kind: Changed, Key: m.t.KeyOf(m.d.ID(), m.d.Values()), Row: m.fields()}
	for i, c := range m.t.Columns {
		if !bytes.Equal(m.ours.field(i), m.theirs.field(i)) {
			d.Columns = append(d.Columns, c.Name)
		}
	}
	return m.visit(d)
}

// compareKeys orders our row before (-1), at (0) or after (1) theirs.
func (m *merging) compareKeys() int {
	for _, k := range m.t.Key {
		ours, theirs := canonicalValue(m.ours.field(k)), canonicalValue(m.theirs.field(k))
		order := bytes.Compare(ours, theirs)
		if m.t.Columns[k].Type.Kind.Whole() && len(ours) == 8 && len(theirs) == 8 {
			order = cmp.Compare(int64(binary.BigEndian.Uint64(ours)), int64(binary.BigEndian.Uint64(theirs)))
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// canonicalValue is the value of a canonical field without its head; nil for
// NULL.
func canonicalValue(field []byte) []byte {
	if len(field) == 0 || field[0] != 1 {
		return nil
	}
	_, n := binary.Uvarint(field[1:])
	return field[1+n:]
}

// fields copies their row.
func (m *merging) fields() [][]byte {
	out := make([][]byte, len(m.theirs.ends))
	for i := range out {
		out[i] = bytes.Clone(m.theirs.field(i))
	}
	return out
}

// keyOf names their row.
func (m *merging) keyOf() string {
	row := make([]sqlite.Value, len(m.theirs.ends))
	for _, k := range m.t.Key {
		row[k] = m.t.Columns[k].shown(m.theirs.field(k))
		if m.t.Columns[k].Secret {
			return "with a secret key"
		}
	}
	return m.t.KeyOf(0, row)
}

// shown turns a canonical field back into a value that can be printed.
func (c *Column) shown(field []byte) sqlite.Value {
	v := canonicalValue(field)
	if v == nil {
		return sqlite.NullValue()
	}
	switch c.Type.Kind {
	case convert.Int2, convert.Int4, convert.Int8:
		return sqlite.IntegerValue(int64(binary.BigEndian.Uint64(v)))
	case convert.Float4, convert.Float8:
		return sqlite.RealValue(math.Float64frombits(binary.BigEndian.Uint64(v)))
	case convert.Timestamptz, convert.Timestamp, convert.Date:
		return sqlite.TextValue(StampText(time.UnixMicro(int64(binary.BigEndian.Uint64(v)))))
	}
	return sqlite.TextValue(string(v))
}
