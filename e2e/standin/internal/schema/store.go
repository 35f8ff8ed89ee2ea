package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Store is a server's storage: several SQLite files, or one PostgreSQL database.
type Store struct {
	Cluster bool
	files   map[string]*sql.DB // by path below the home; "" is PostgreSQL
}

// OpenSQLite opens the given files below home (all of Files if none is named) and creates their missing tables.
func OpenSQLite(ctx context.Context, home string, only ...string) (*Store, error) {
	s := &Store{files: map[string]*sql.DB{}}
	for _, f := range Files {
		if len(only) > 0 && !contains(only, f.Path) {
			continue
		}
		db, err := openFile(ctx, filepath.Join(home, f.Path), f.Journal, SQLite(f.Path))
		if err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("open %s: %w", f.Path, err)
		}
		s.files[f.Path] = db
	}
	return s, nil
}

// OpenPostgres connects and creates the missing tables, as a starting server does. No error holds the connection string.
func OpenPostgres(ctx context.Context, dsn string) (*Store, error) {
	return openPostgres(ctx, dsn, true)
}

// CreatePostgres does the part of CIDX's migration runner: it leaves the tables for the first server start out.
func CreatePostgres(ctx context.Context, dsn string) error {
	s, err := openPostgres(ctx, dsn, false)
	if err != nil {
		return err
	}
	return s.Close()
}

func openPostgres(ctx context.Context, dsn string, runtime bool) (*Store, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("read postgres_dsn: not a PostgreSQL connection string")
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(20)
	s := &Store{Cluster: true, files: map[string]*sql.DB{"": db}}
	if err := s.migrate(ctx, runtime); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// migrate creates the missing PostgreSQL tables, serialised between nodes by an advisory lock.
func (s *Store) migrate(ctx context.Context, runtime bool) error {
	tx, err := s.files[""].BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(4711)"); err != nil {
		return fmt.Errorf("lock schema: %w", err)
	}
	made, err := create(ctx, tx, Postgres(runtime), "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1")
	if err != nil {
		return err
	}
	if made["schema_migrations"] {
		const mark = `INSERT INTO schema_migrations (filename, checksum) VALUES ('001_standin.sql', 'stand-in')`
		if _, err := tx.ExecContext(ctx, mark); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	return tx.Commit()
}

// runner is a database or a transaction in it.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// create makes the tables that are not there and names them; those that are there stay untouched, indexes included.
func create(ctx context.Context, db runner, tables []Table, count string) (map[string]bool, error) {
	made := map[string]bool{}
	for _, t := range tables {
		var n int
		if err := db.QueryRowContext(ctx, count, t.Name).Scan(&n); err != nil {
			return made, fmt.Errorf("look for table %s: %w", t.Name, err)
		}
		if n > 0 {
			continue
		}
		made[t.Name] = true
		for _, stmt := range t.Stmts {
			if _, err := db.ExecContext(ctx, stmt); err != nil {
				return made, fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
	}
	return made, nil
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
	cols, marks, args := make([]string, 0, len(row)), make([]string, 0, len(row)), make([]any, 0, len(row))
	for c, v := range row {
		cols, marks, args = append(cols, c), append(marks, "?"), append(args, v)
	}
	verb, tail := "INSERT OR IGNORE", ""
	if s.Cluster {
		verb, tail = "INSERT", " ON CONFLICT DO NOTHING"
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

func openFile(ctx context.Context, path, journal string, tables []Table) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(" + journal + ")", "foreign_keys(1)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := create(ctx, db, tables, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
