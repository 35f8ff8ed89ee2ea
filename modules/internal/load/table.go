// Package load carries rows from SQLite to PostgreSQL: it reads them as they are to
// arrive, encodes them for a binary COPY, and compares both sides, value by value
// or by digest. It knows tables, not CIDX.
package load

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

// Table is how the rows of a table of SQLite become those of one of PostgreSQL. It
// never changes once it is made.
type Table struct {
	Name    string // in PostgreSQL
	File    string // that messages name
	Conn    *sqlite.Conn
	From    sqlite.Table
	To      *postgres.Table
	Columns []Column
	Key     []int // indexes into Columns; empty if nothing identifies a row
	Active  *Active
	Moment  time.Time           // that rows carry where the load is what they tell of
	Moved   int64               // paths that were rewritten before
	Guess   int64               // how many rows it may have, from the highest row id
	Large   bool                // worth rebuilding its indexes
	Unfit   bool                // not to be loaded, not even in a rehearsal
	Grows   bool                // others write to it while it is loaded, and must not wait
	Wanes   bool                // rows of it go by themselves
	Checked map[string]string   // column → column of another table, "table.column", that only SQLite references
	Seeds   []map[string]string // rows that may be replaced: columns as PostgreSQL prints them, "" for NULL, "=column" for the moment there
	SeedsOf string              // table: Seeds count only where it has such rows
}

// Column is one column that moves.
type Column struct {
	convert.Column
	Name     string // in PostgreSQL
	Source   string // in SQLite
	NotNull  bool
	Secret   bool
	Zero     bool                // NULL becomes 0 where PostgreSQL refuses it
	Dated    bool                // NULL becomes the moment
	Rewrite  func(string) string // of a text; nil leaves it
	Sequence string
}

// Active fails jobs that will never end.
type Active struct {
	Status   string   // column
	Active   []string // its values that become Failed
	Failed   string
	Finished string // column that gets the moment where it is NULL
	Error    string // column that gets Text where it is NULL
	Text     string
}

// FindKey chooses what identifies a row: the primary key, else a unique index
// over columns that are never NULL.
func (t *Table) FindKey() {
	candidates := [][]string{t.To.Key}
	for _, u := range t.To.Uniques {
		if u.Where == "" {
			candidates = append(candidates, u.Columns)
		}
	}
	for _, names := range candidates {
		var key []int
		for _, name := range names {
			if i := t.Index(name); i >= 0 && t.Columns[i].NotNull {
				key = append(key, i)
			}
		}
		if len(key) > 0 && len(key) == len(names) {
			t.Key = key
			return
		}
	}
}

// At names the table's place in the source.
func (t *Table) At() string { return t.File + ": " + t.Name }

// Count is the number of rows in SQLite.
func (t *Table) Count() (int64, error) {
	return t.Conn.Number("SELECT count(*) FROM " + sqlite.Quote(t.From.Name))
}

// Index is the index of a column by its name in PostgreSQL, or -1.
func (t *Table) Index(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
}

// source spells the column of SQLite that fills a column of PostgreSQL.
func (t *Table) source(name string) string {
	if i := t.Index(name); i >= 0 {
		return sqlite.Quote(t.Columns[i].Source)
	}
	return ""
}

// RowID is the name under which queries find the id of a row.
const RowID = "cidx_row"

// identified is the table with the id of every row: its row id, or its place by
// key where it has none. Copies never change, so both are stable.
func (t *Table) identified() string {
	name := sqlite.Quote(t.From.Name)
	if t.From.RowID != "" {
		return "(SELECT " + t.From.RowID + " AS " + RowID + ", * FROM " + name + ")"
	}
	return "(SELECT row_number() OVER (ORDER BY " + Join(t.From.Key, ", ", sqlite.Quote) + ") AS " + RowID + ", * FROM " + name + ")"
}

// KeyOf names a row for a report: its key columns, or the row id where these are
// secret or do not exist.
func (t *Table) KeyOf(id int64, row []sqlite.Value) string {
	var parts []string
	for _, k := range t.Key {
		c := t.Columns[k]
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

// Highest is the highest id of a column that SQLite has or has given out.
func (t *Table) Highest(column string) (int64, error) {
	given, err := t.Conn.Sequence(t.From.Name)
	if err != nil {
		return 0, err
	}
	source := t.source(column)
	if source == "" {
		return given, nil
	}
	where := " WHERE typeof(" + source + ") = 'integer'"
	if t.isRowID(source) {
		where = "" // SQLite lets nothing else in, and knows the highest
	}
	there, err := t.Conn.Number("SELECT coalesce(max(" + source + "), 0) FROM " + sqlite.Quote(t.From.Name) + where)
	return max(given, there), err
}

// isRowID reports whether a column, spelled for SQL, is SQLite's row id.
func (t *Table) isRowID(source string) bool {
	if t.From.RowID == "" || len(t.From.Key) != 1 || sqlite.Quote(t.From.Key[0]) != source {
		return false
	}
	c, _ := t.From.Column(t.From.Key[0])
	return strings.EqualFold(c.Type, "INTEGER")
}

// Numbered reports whether one integer that a sequence fills identifies a row.
func (t *Table) Numbered() bool {
	if len(t.Key) != 1 || t.Columns[t.Key[0]].Sequence == "" {
		return false
	}
	return t.Columns[t.Key[0]].Type.Kind.Whole()
}

// IDName spells the column that Numbered is about.
func (t *Table) IDName() string { return postgres.Quote(t.Columns[t.Key[0]].Name) }

// CopyFrom spells the statement that takes rows.
func (t *Table) CopyFrom(frozen bool) string {
	options := "FORMAT binary"
	if frozen {
		options += ", FREEZE true"
	}
	return "COPY " + t.To.Qualified() + " (" + t.Names() + ") FROM STDIN (" + options + ")"
}

// Names lists the columns for SQL.
func (t *Table) Names() string {
	return Join(t.Columns, ", ", func(c Column) string { return postgres.Quote(c.Name) })
}

// Join spells a list for SQL.
func Join[T any](list []T, by string, spell func(T) string) string {
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = spell(item)
	}
	return strings.Join(texts, by)
}

// StampText is a moment as SQLite's text columns hold it.
func StampText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000-07:00") }
