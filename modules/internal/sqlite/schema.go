package sqlite

import "strings"

// Table is what a database says of one of its tables.
type Table struct {
	Name    string
	Columns []Column // in the order of the table, without hidden ones
	Key     []string // primary key, in its order; may hold NULL in SQLite
	RowID   string   // an unshadowed name of the row id; "" for WITHOUT ROWID tables
}

// Column is a column of a table.
type Column struct {
	Name, Type string
	NotNull    bool
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
	rows, err := c.Query(`SELECT name, wr FROM pragma_table_list
		WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
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
	rows, err := c.Query(`SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?)
		WHERE hidden IN (0, 2, 3) ORDER BY cid`, TextValue(t.Name))
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
	return nil
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

// Sequence returns the highest id an AUTOINCREMENT table ever gave out, 0 if it
// has none.
func (c *Conn) Sequence(table string) (int64, error) {
	n, err := c.Number(`SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'`)
	if n == 0 || err != nil {
		return 0, err
	}
	return c.Number(`SELECT max(seq) FROM sqlite_sequence WHERE name = ?`, TextValue(table))
}
