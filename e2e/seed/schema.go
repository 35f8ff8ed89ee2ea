package seed

import (
	_ "embed"
	"fmt"

	"github.com/tidwall/gjson"
)

// schema.json lists every table of CIDX 11.79 as SQLite and PostgreSQL hold it.
//
//go:embed schema.json
var schemaJSON string

// Table is one table of CIDX; Sqlite or Postgres is nil on the side that has none.
type Table struct {
	Name     string
	Class    string // copy or skip
	Sqlite   *SqliteTable
	Postgres *PostgresTable
}

// SqliteTable is a table as the standalone server creates it.
type SqliteTable struct {
	Files         []string // below the home
	Columns       []SqliteColumn
	Variants      map[string][]SqliteColumn // other columns in one of Files
	Autoincrement bool
	Uniques       []Unique
	ForeignKeys   []ForeignKey
}

// SqliteColumn is a column with its declared type; Key is its place in the primary key, from 1.
type SqliteColumn struct {
	Name, Type, Default string
	NotNull             bool
	Key                 int
}

// PostgresTable is a table as CIDX's migration runner, or its first start (Runtime), creates it.
type PostgresTable struct {
	Columns     []PostgresColumn
	PrimaryKey  []string
	Uniques     []Unique
	ForeignKeys []ForeignKey
	Checks      []Check
	Runtime     bool
}

// PostgresColumn is a column; Sequence names the sequence that fills it, or is empty.
type PostgresColumn struct {
	Name, Type, Default, Sequence string
	Nullable                      bool
}

// Unique is a unique index; Where makes it partial.
type Unique struct {
	Columns []string
	Where   string
}

// ForeignKey points from Columns to RefColumns of References.
type ForeignKey struct {
	Columns, RefColumns  []string
	References, OnDelete string
}

// Check allows only some values in a column; Allowed are SQL literals.
type Check struct {
	Column  string
	Allowed []string
}

// Schema answers every table, in the order of schema.json.
func Schema() ([]Table, error) {
	if !gjson.Valid(schemaJSON) {
		return nil, fmt.Errorf("read schema.json: invalid JSON")
	}
	var tables []Table
	gjson.Get(schemaJSON, "tables").ForEach(func(name, t gjson.Result) bool {
		tables = append(tables, Table{Name: name.String(), Class: t.Get("class").String(),
			Sqlite: sqliteTable(t.Get("sqlite")), Postgres: postgresTable(t.Get("postgres"))})
		return true
	})
	if len(tables) == 0 {
		return nil, fmt.Errorf("read schema.json: no tables")
	}
	return tables, nil
}

func sqliteTable(t gjson.Result) *SqliteTable {
	if !t.IsObject() {
		return nil
	}
	out := &SqliteTable{Files: stringsOf(t.Get("files")), Columns: sqliteColumns(t.Get("columns")),
		Autoincrement: t.Get("autoincrement").Bool(), Uniques: uniquesOf(t.Get("uniques")),
		ForeignKeys: foreignKeysOf(t.Get("foreign_keys")), Variants: map[string][]SqliteColumn{}}
	t.Get("variants").ForEach(func(file, columns gjson.Result) bool {
		out.Variants[file.String()] = sqliteColumns(columns)
		return true
	})
	return out
}

func sqliteColumns(t gjson.Result) []SqliteColumn {
	var out []SqliteColumn
	t.ForEach(func(name, c gjson.Result) bool {
		out = append(out, SqliteColumn{Name: name.String(), Type: c.Get("type").String(),
			Default: c.Get("default").String(), NotNull: c.Get("notnull").Bool(), Key: int(c.Get("pk").Int())})
		return true
	})
	return out
}

func postgresTable(t gjson.Result) *PostgresTable {
	if !t.IsObject() {
		return nil
	}
	out := &PostgresTable{PrimaryKey: stringsOf(t.Get("primary_key")), Uniques: uniquesOf(t.Get("uniques")),
		ForeignKeys: foreignKeysOf(t.Get("foreign_keys")), Runtime: t.Get("created_by").String() == "runtime"}
	t.Get("columns").ForEach(func(name, c gjson.Result) bool {
		out.Columns = append(out.Columns, PostgresColumn{Name: name.String(), Type: c.Get("type").String(),
			Default: c.Get("default").String(), Sequence: c.Get("identity_sequence").String(), Nullable: c.Get("nullable").Bool()})
		return true
	})
	for _, c := range t.Get("checks").Array() {
		check := Check{Column: c.Get("column").String()}
		for _, v := range c.Get("allowed").Array() {
			check.Allowed = append(check.Allowed, literal(v))
		}
		out.Checks = append(out.Checks, check)
	}
	return out
}

func literal(v gjson.Result) string {
	if v.Type == gjson.String {
		return "'" + v.String() + "'"
	}
	return v.Raw
}

func uniquesOf(t gjson.Result) []Unique {
	var out []Unique
	for _, u := range t.Array() {
		out = append(out, Unique{Columns: stringsOf(u.Get("columns")), Where: u.Get("where").String()})
	}
	return out
}

func foreignKeysOf(t gjson.Result) []ForeignKey {
	var out []ForeignKey
	for _, f := range t.Array() {
		out = append(out, ForeignKey{Columns: stringsOf(f.Get("columns")), RefColumns: stringsOf(f.Get("ref_columns")),
			References: f.Get("references").String(), OnDelete: f.Get("on_delete").String()})
	}
	return out
}

func stringsOf(t gjson.Result) []string {
	var out []string
	for _, v := range t.Array() {
		out = append(out, v.String())
	}
	return out
}
