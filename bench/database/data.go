package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite"
)

// checkpoint folds the write-ahead log into the main file: pgloader and the
// row-by-row loader read the file where it lies.
func (b *bench) checkpoint(ctx context.Context, home string) error {
	db, err := sql.Open("sqlite", filepath.Join(home, "data/cidx_server.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=delete")
	return err
}

// filledTables returns up to most tables of the file that hold rows and whose
// columns, as "table.column", are all in target.
func filledTables(ctx context.Context, path string, target map[string]bool, most int) ([]string, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT m.name, group_concat(c.name)
		FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' GROUP BY 1 ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var fit []string
	for rows.Next() {
		var name, columns string
		if err := rows.Scan(&name, &columns); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(strings.Split(columns, ","), func(c string) bool { return !target[name+"."+c] }) {
			fit = append(fit, name)
		}
	}
	var filled []string
	for _, name := range fit {
		var one int
		err := db.QueryRowContext(ctx, fmt.Sprintf("SELECT 1 FROM %q LIMIT 1", name)).Scan(&one)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if err == nil && len(filled) < most {
			filled = append(filled, name)
		}
	}
	return filled, rows.Err()
}

// sourceRows counts the rows of some tables of a SQLite file.
func sourceRows(ctx context.Context, path string, tables []string) (n int, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT "+counted(tables)).Scan(&n)
	return n, err
}
