package seed

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// fill makes the rows of one table in one file.
type fill struct {
	m       *maker
	table   string
	columns []SqliteColumn
	cells   []cell
	rows    int
	serial  string // the autoincrement column, or empty
}

func newFill(w *world, key []byte, t Table, file string) *fill {
	f := &fill{m: &maker{world: w, rng: source(w.Random, file+"/"+t.Name), tokenKey: key},
		table: t.Name, columns: t.Sqlite.columnsIn(file), rows: rowsOf(w, t.Name)}
	for _, c := range f.columns {
		if c.Key == 1 && t.Sqlite.Autoincrement {
			f.serial = c.Name
		}
		f.cells = append(f.cells, cellOf(t, c))
	}
	return f
}

// hot is how many of the rows, the last ones, are left in the WAL.
func (f *fill) hot() int { return min(f.rows, max(1, min(f.rows/8, 2000))) }

// insert adds rows from..to in transactions of 20,000 rows.
func (f *fill) insert(ctx context.Context, db *sql.DB, from, to int) error {
	f.m.rng = source(f.m.Random, fmt.Sprintf("%s/%d", f.table, from))
	for from <= to {
		last := min(to, from+19_999)
		if err := f.batch(ctx, db, from, last); err != nil {
			return fmt.Errorf("fill table %s: %w", f.table, err)
		}
		from = last + 1
	}
	return nil
}

func (f *fill) batch(ctx context.Context, db *sql.DB, from, to int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	names := make([]string, len(f.columns))
	for i, c := range f.columns {
		names[i] = c.Name
	}
	insert, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s)",
		quote(f.table), columnList(names), strings.Repeat(",?", len(names)-1)))
	if err != nil {
		return err
	}
	values := make([]any, len(f.cells))
	for i := from; i <= to; i++ {
		for c, make := range f.cells {
			values[c] = make(f.m, i)
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return fmt.Errorf("row %d: %w", i, err)
		}
	}
	return tx.Commit()
}

// burnID raises sqlite_sequence beyond max(id), as deleted rows leave it.
func (f *fill) burnID(ctx context.Context, db *sql.DB) error {
	if f.serial == "" || f.rows == 0 {
		return nil
	}
	_, err := db.ExecContext(ctx, "UPDATE sqlite_sequence SET seq = seq + 3 WHERE name = ?", f.table)
	if err != nil {
		return fmt.Errorf("raise sequence of %s: %w", f.table, err)
	}
	return nil
}

// cellOf answers the generator of a column: the one of the table's own
// literal, else one by key, name and type.
func cellOf(t Table, c SqliteColumn) cell {
	if own, ok := fillings[t.Name].cells[c.Name]; ok {
		return own
	}
	byKind := defaultCell(t, c)
	if c.Key == 0 && !c.NotNull {
		return sometimes(5, byKind)
	}
	return byKind
}

// flag says whether CIDX keeps 0 or 1 in the column, which PostgreSQL's type tells.
func (t Table) flag(column string) bool {
	return t.Postgres != nil && slices.ContainsFunc(t.Postgres.Columns, func(c PostgresColumn) bool { return c.Name == column && c.Type == "boolean" })
}

func defaultCell(t Table, c SqliteColumn) cell {
	kind := strings.ToUpper(c.Type)
	switch {
	case c.Key == 1 && t.Sqlite.Autoincrement:
		return func(_ *maker, i int) any { return i + i/9*2 } // with gaps
	case c.Key > 0 && kind == "INTEGER":
		return func(_ *maker, i int) any { return i }
	case c.Key > 0 && kind == "TEXT":
		return named(strings.ReplaceAll(c.Name, "_", "-") + "-%06d")
	case kind == "TEXT" && (strings.HasSuffix(c.Name, "_at") || c.Name == "timestamp" || strings.HasSuffix(c.Name, "_run")):
		return iso
	case kind == "TIMESTAMP" || kind == "DATETIME":
		return naive
	case c.Name == "username" || c.Name == "user_id" || c.Name == "admin_id":
		return aUser
	case c.Name == "repo_alias" || c.Name == "golden_repo_alias":
		return aRepo
	case strings.HasSuffix(c.Name, "_json"):
		return document
	case kind == "BOOLEAN" || t.flag(c.Name):
		return flag01
	case kind == "INTEGER":
		return number(100_000)
	case kind == "REAL":
		return real64
	case kind == "BLOB":
		return func(m *maker, _ int) any { return randomBytes(m.rng, 64) }
	}
	return text
}
