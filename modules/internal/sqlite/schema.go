package sqlite

import (
	"slices"
	"strings"
)

// Table is what a database says of one of its tables.
type Table struct {
	Name        string
	Columns     []Column // in the order of the table, without hidden ones
	Key         []string // primary key, in its order; may hold NULL in SQLite
	RowID       string   // an unshadowed name of the row id; "" for WITHOUT ROWID tables
	ForeignKeys []ForeignKey
}

// Column is a column of a table.
type Column struct {
	Name, Type string
	NotNull    bool
}

// ForeignKey is a reference as declared; CIDX enforces it only in its own
// connection manager, so rows may violate it.
type ForeignKey struct {
	Columns    []string
	Table      string
	RefColumns []string // empty: the primary key
}

// Column returns the column of that name, compared as SQLite does.
func (t Table) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Column{}, false
}

// Tables lists the tables of the database, without SQLite's own and without
// views, virtual tables and the shadow tables of these.
func (c *Conn) Tables() ([]Table, error) {
	rows, err := c.Query(`SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Table
	for rows.Next() {
		t := Table{Name: rows.Text(0)}
		withoutRowID := rows.Int(1) != 0
		if err := c.describe(&t, withoutRowID); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

func (c *Conn) describe(t *Table, withoutRowID bool) error {
	rows, err := c.Query(`SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden IN (0, 2, 3) ORDER BY cid`, TextValue(t.Name))
	if err != nil {
		return err
	}
	defer rows.Close()
	places := map[int]string{}
	for rows.Next() {
		t.Columns = append(t.Columns, Column{Name: rows.Text(0), Type: rows.Text(1), NotNull: rows.Int(2) != 0})
		if at := int(rows.Int(3)); at > 0 {
			places[at] = rows.Text(0)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for at := 1; at <= len(places); at++ {
		t.Key = append(t.Key, places[at])
	}
	if !withoutRowID {
		t.RowID = t.rowID()
	}
	t.ForeignKeys, err = c.foreignKeys(t.Name)
	return err
}

// rowID is a name of the row id that no column of the table has taken.
func (t Table) rowID() string {
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if _, taken := t.Column(name); !taken {
			return name
		}
	}
	return ""
}

func (c *Conn) foreignKeys(table string) ([]ForeignKey, error) {
	rows, err := c.Query(`SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq`, TextValue(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []ForeignKey
	last := int64(-1)
	for rows.Next() {
		if id := rows.Int(0); id != last {
			last = id
			list = append(list, ForeignKey{Table: rows.Text(1)})
		}
		f := &list[len(list)-1]
		f.Columns = append(f.Columns, rows.Text(2))
		if to := rows.Text(3); to != "" {
			f.RefColumns = append(f.RefColumns, to)
		}
	}
	slices.Reverse(list) // SQLite lists the newest first
	return list, rows.Err()
}

// Sequence returns the highest id an AUTOINCREMENT table ever gave out, 0 if it
// has none.
func (c *Conn) Sequence(table string) (int64, error) {
	rows, err := c.Query(`SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Next() || rows.Int(0) == 0 {
		return 0, rows.Err()
	}
	seq, err := c.Query(`SELECT max(seq) FROM sqlite_sequence WHERE name = ?`, TextValue(table))
	if err != nil {
		return 0, err
	}
	defer seq.Close()
	if seq.Next() {
		return seq.Int(0), nil
	}
	return 0, seq.Err()
}
