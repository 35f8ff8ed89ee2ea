package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Store is a server's storage: several SQLite files, or one PostgreSQL database.
type Store struct {
	Cluster bool
	files   map[string]*sql.DB // by path below the home; "" is PostgreSQL
}

// Close closes every database; the last SQLite connection folds the WAL in, as SQLite always does.
func (s *Store) Close() error {
	var all []error
	for _, db := range s.files {
		all = append(all, db.Close())
	}
	return errors.Join(all...)
}

// Databases names what is open, for health checks: file paths, or "" for PostgreSQL.
func (s *Store) Databases() []string {
	var out []string
	for _, f := range Files {
		if s.files[f.Path] != nil {
			out = append(out, f.Path)
		}
	}
	if s.Cluster {
		out = append(out, "")
	}
	return out
}

// Probe checks one database as CIDX's health check does: an upsert into _health_check of a SQLite file, a query on PostgreSQL.
func (s *Store) Probe(ctx context.Context, database string) error {
	db := s.files[database]
	ctx = s.patient(ctx)
	if database == "" {
		_, err := db.ExecContext(ctx, "SELECT 1")
		return err
	}
	const table = "CREATE TABLE IF NOT EXISTS _health_check (id INTEGER PRIMARY KEY, last_check TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
	const upsert = "INSERT OR REPLACE INTO _health_check (id, last_check) VALUES (1, CURRENT_TIMESTAMP)"
	if _, err := db.ExecContext(ctx, table); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, upsert)
	return err
}

// Exec runs a statement, with ? for its values, where the table lies; it returns the number of rows.
func (s *Store) Exec(ctx context.Context, table, stmt string, args ...any) (int64, error) {
	db, err := s.of(table)
	if err != nil {
		return 0, err
	}
	ctx = s.patient(ctx)
	res, err := db.ExecContext(ctx, s.bind(stmt), args...)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", table, err)
	}
	return res.RowsAffected()
}

// Insert adds one row unless one with the same key exists; it says whether it did.
func (s *Store) Insert(ctx context.Context, table string, row Row) (bool, error) {
	if s.Cluster {
		return s.insert(ctx, "INSERT", table, row, " ON CONFLICT DO NOTHING")
	}
	return s.insert(ctx, "INSERT OR IGNORE", table, row, "")
}

// Add adds one row and fails if its key is taken, e.g. by a sequence that stands too low.
func (s *Store) Add(ctx context.Context, table string, row Row) error {
	_, err := s.insert(ctx, "INSERT", table, row, "")
	return err
}

func (s *Store) insert(ctx context.Context, verb, table string, row Row, tail string) (bool, error) {
	cols, marks, args := make([]string, 0, len(row)), make([]string, 0, len(row)), make([]any, 0, len(row))
	for c, v := range row {
		cols, marks, args = append(cols, c), append(marks, "?"), append(args, v)
	}
	stmt := fmt.Sprintf("%s INTO %s (%s) VALUES (%s)%s", verb, quote(table), quoteAll(cols), strings.Join(marks, ", "), tail)
	n, err := s.Exec(ctx, table, stmt, args...)
	return n > 0, err
}

// Rows runs a query where the table lies and returns everything.
func (s *Store) Rows(ctx context.Context, table, query string, args ...any) ([]Row, error) {
	db, err := s.of(table)
	if err != nil {
		return nil, err
	}
	ctx = s.patient(ctx)
	rows, err := db.QueryContext(ctx, s.bind(query), args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", table, err)
	}
	var out []Row
	for rows.Next() {
		values, into := make([]any, len(cols)), make([]any, len(cols))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("read %s: %w", table, err)
		}
		row := Row{}
		for i, c := range cols {
			row[c] = values[i]
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// Row1 returns the first row of a query, or nil.
func (s *Store) Row1(ctx context.Context, table, query string, args ...any) (Row, error) {
	rows, err := s.Rows(ctx, table, query, args...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func (s *Store) of(table string) (*sql.DB, error) {
	key := ""
	if !s.Cluster {
		key = FileOf(table)
	}
	if db := s.files[key]; db != nil {
		return db, nil
	}
	return nil, fmt.Errorf("find table %s: its database is not open", table)
}

// patient lets SQLite finish what it began: an interrupted statement would keep its connection from closing, and the
// WAL from being folded in at a clean stop.
func (s *Store) patient(ctx context.Context) context.Context {
	if s.Cluster {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// bind turns ? into $1, $2, … for PostgreSQL; no statement here holds a literal question mark.
func (s *Store) bind(stmt string) string {
	if !s.Cluster {
		return stmt
	}
	var b strings.Builder
	n := 0
	for _, r := range stmt {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
