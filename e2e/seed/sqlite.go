package seed

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver
)

// journal modes by file; CIDX leaves the others in SQLite's default, DELETE.
var walFiles = []string{"data/cidx_server.db", "groups.db", "logs.db", "data/api_metrics.db",
	"data/query_embedding_cache.db", "data/payload_cache.db", "data/golden-repos/.cache/payload_cache.db"}

// database is one SQLite file and the tables it holds.
type database struct {
	file   string
	tables []Table
}

func databases(tables []Table) []database {
	byFile := map[string]*database{}
	var order []string
	add := func(file string, t Table) {
		if byFile[file] == nil {
			byFile[file] = &database{file: file}
			order = append(order, file)
		}
		byFile[file].tables = append(byFile[file].tables, t)
	}
	for _, t := range tables {
		if t.Sqlite == nil {
			continue
		}
		for _, file := range t.Sqlite.Files {
			add(file, t)
		}
		if t.Name == "oidc_state_tokens" { // the older file of the same table
			add("cidx_oidc_state.db", t)
		}
	}
	var out []database
	for _, file := range order {
		out = append(out, *byFile[file])
	}
	// Longest first, so that two workers end together.
	slices.SortStableFunc(out, func(a, b database) int { return cmp.Compare(len(b.tables), len(a.tables)) })
	return out
}

// path is where the file lies in this layout.
func (d database) path(w *world) string {
	if rest, in := strings.CutPrefix(d.file, "data/golden-repos/"); in {
		return filepath.Join(w.place.golden, rest)
	}
	return filepath.Join(w.Home, d.file)
}

// make writes the file and answers the rows of each table. A WAL file is left
// hot: the last rows of every table are in its -wal only.
func (d database) make(ctx context.Context, w *world, key []byte) (map[string]int, error) {
	target := d.path(w)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	private, err := os.MkdirTemp(filepath.Dir(target), ".making-")
	if err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	defer os.RemoveAll(private)
	draft := filepath.Join(private, "db")
	if !slices.Contains(walFiles, d.file) {
		rows, err := d.fill(ctx, w, key, draft, false)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", d.file, err)
		}
		return rows, os.Rename(draft, target)
	}
	if _, err := d.fill(ctx, w, key, draft, true); err != nil {
		return nil, fmt.Errorf("make %s: %w", d.file, err)
	}
	rows, err := d.heat(ctx, w, key, draft, target)
	if err != nil {
		return nil, fmt.Errorf("heat %s: %w", d.file, err)
	}
	return rows, nil
}

// fill creates the tables and their rows; with wal, only the rows that are not hot.
func (d database) fill(ctx context.Context, w *world, key []byte, draft string, wal bool) (map[string]int, error) {
	db, err := openDraft(draft, "journal_mode(off)", "synchronous(off)", "locking_mode(exclusive)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	counts := map[string]int{}
	for _, t := range d.tables {
		for _, statement := range sqliteStatements(t, d.file) {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return nil, fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
		f := newFill(w, key, t, d.file)
		until := f.rows
		if wal {
			until = f.rows - f.hot()
		}
		if err := f.insert(ctx, db, 1, until); err != nil {
			return nil, err
		}
		counts[t.Name] = f.rows
		if !wal {
			err = f.burnID(ctx, db)
		}
		if err != nil {
			return nil, err
		}
	}
	return counts, db.Close()
}

// heat adds the hot rows to the draft and copies main file and -wal while the
// connection, whose close would fold the WAL in, is still open.
func (d database) heat(ctx context.Context, w *world, key []byte, draft, target string) (map[string]int, error) {
	db, err := openDraft(draft, "journal_mode(wal)", "synchronous(off)", "wal_autocheckpoint(0)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	counts := map[string]int{}
	for _, t := range d.tables {
		f := newFill(w, key, t, d.file)
		if err := f.insert(ctx, db, f.rows-f.hot()+1, f.rows); err != nil {
			return nil, err
		}
		if err := f.burnID(ctx, db); err != nil {
			return nil, err
		}
		counts[t.Name] = f.rows
	}
	for _, change := range hotChanges[d.file] {
		if _, err := db.ExecContext(ctx, change); err != nil {
			return nil, fmt.Errorf("change rows: %w", err)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(draft+suffix, target+suffix, 0o644); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// hotChanges change rows of the main file in the WAL, so that the main file
// alone shows old values and not only too few rows.
var hotChanges = map[string][]string{
	"data/cidx_server.db": {
		"UPDATE users SET email = 'changed-in-wal@example.org' WHERE username = 'pia'",
		"UPDATE global_repos SET last_refresh = '2026-11-20T11:59:59.999999+00:00' WHERE rowid = 1",
		"UPDATE server_config SET version = version + 1",
	},
	"groups.db": {"UPDATE groups SET description = 'changed in the WAL' WHERE name = 'users'"},
}

func openDraft(path string, pragmas ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma="+strings.Join(pragmas, "&_pragma="))
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func sqliteStatements(t Table, file string) []string {
	columns := t.Sqlite.columnsIn(file)
	var parts, keys []string
	for _, c := range columns {
		if c.Key > 0 {
			keys = append(keys, c.Name)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(keyOf(columns, a), keyOf(columns, b)) })
	for _, c := range columns {
		parts = append(parts, columnDDL(c, len(keys) == 1, t.Sqlite.Autoincrement))
	}
	if len(keys) > 1 {
		parts = append(parts, "PRIMARY KEY ("+columnList(keys)+")")
	}
	for _, f := range t.Sqlite.ForeignKeys {
		parts = append(parts, fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE %s",
			columnList(f.Columns), quote(f.References), columnList(f.RefColumns), f.OnDelete))
	}
	var after []string
	for _, u := range t.Sqlite.Uniques {
		if u.Where == "" {
			parts = append(parts, "UNIQUE ("+columnList(u.Columns)+")")
			continue
		}
		after = append(after, fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (%s) WHERE %s",
			quote("idx_"+t.Name+"_"+u.Columns[0]), quote(t.Name), columnList(u.Columns), u.Where))
	}
	return append([]string{fmt.Sprintf("CREATE TABLE %s (\n  %s\n)", quote(t.Name), strings.Join(parts, ",\n  "))}, after...)
}

func columnDDL(c SqliteColumn, single, autoincrement bool) string {
	ddl := quote(c.Name) + " " + c.Type
	if c.Key > 0 && single {
		ddl += " PRIMARY KEY"
		if autoincrement {
			ddl += " AUTOINCREMENT"
		}
	}
	if c.NotNull {
		ddl += " NOT NULL"
	}
	if c.Default != "" {
		ddl += " DEFAULT (" + c.Default + ")"
	}
	return ddl
}

func (t *SqliteTable) columnsIn(file string) []SqliteColumn {
	if columns := t.Variants[file]; columns != nil {
		return columns
	}
	return t.Columns
}

func keyOf(columns []SqliteColumn, name string) int {
	for _, c := range columns {
		if c.Name == name {
			return c.Key
		}
	}
	return 0
}
