package schema

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// OpenSQLite opens the given files below home (all of Files if none is named) and creates their missing tables.
func OpenSQLite(ctx context.Context, home string, only ...string) (*Store, error) {
	s := &Store{files: map[string]*sql.DB{}}
	for _, f := range Files {
		if len(only) > 0 && !slices.Contains(only, f.Path) {
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
	s, err := ReachPostgres(dsn)
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx, runtime); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// ReachPostgres opens the database and makes nothing in it; it is reached with the first statement only.
func ReachPostgres(dsn string) (*Store, error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(20)
	return &Store{Cluster: true, files: map[string]*sql.DB{"": db}}, nil
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
	made, err := create(ctx, tx, Postgres(runtime), "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
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

// create makes the tables that are not there and names them; those that are there stay untouched, indexes included.
func create(ctx context.Context, tx *sql.Tx, tables []Table, present string) (map[string]bool, error) {
	made := map[string]bool{}
	there, err := texts1(ctx, tx, present)
	if err != nil {
		return made, fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		if slices.Contains(there, t.Name) {
			continue
		}
		made[t.Name] = true
		for _, stmt := range t.Stmts {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return made, fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
	}
	return made, nil
}

// texts1 returns the first column of a query.
func texts1(ctx context.Context, tx *sql.Tx, query string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	return out, rows.Err()
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
	if err := createFile(ctx, db, tables); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func createFile(ctx context.Context, db *sql.DB, tables []Table) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	made, err := create(ctx, tx, tables, "SELECT name FROM sqlite_master WHERE type = 'table'")
	if err != nil || len(made) == 0 {
		return err
	}
	return tx.Commit()
}
