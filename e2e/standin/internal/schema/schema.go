// Package schema knows every table of a CIDX server (release 11.79): in which SQLite file it lies, its columns on
// both sides, and the statements that create it where it is missing. It never drops or alters anything.
package schema

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

//go:embed schema.json
var text string

// MainFile is the SQLite file, relative to the server's home, that holds most tables.
const MainFile = "data/cidx_server.db"

// Files are the SQLite files that a standalone server opens at its start, with their journal modes.
var Files = []struct{ Path, Journal string }{
	{MainFile, "WAL"},
	{"groups.db", "WAL"},
	{"oauth.db", "DELETE"},
	{"refresh_tokens.db", "DELETE"},
	{"scip_audit.db", "DELETE"},
	{"logs.db", "WAL"},
	{"data/api_metrics.db", "WAL"},
	{"data/query_embedding_cache.db", "WAL"},
	{"data/payload_cache.db", "WAL"},
}

// FileOf returns the file that holds a table in standalone mode, or "" if it has none.
func FileOf(table string) string {
	return tables().Get(gjson.Escape(table) + ".sqlite.files.0").String()
}

// Table is what creates one table, with its indexes and sequences.
type Table struct {
	Name  string
	Stmts []string
}

// SQLite returns the tables of one file.
func SQLite(file string) []Table {
	var out []Table
	tables().ForEach(func(name, t gjson.Result) bool {
		if t.Get("sqlite.files.0").String() == file {
			out = append(out, Table{name.String(), sqliteTable(name.String(), t.Get("sqlite"))})
		}
		return true
	})
	return out
}

// Postgres returns all tables, parents before children. Without runtime it leaves out those that CIDX's migration
// runner does not make and a starting server does.
func Postgres(runtime bool) []Table {
	var first, then []Table
	tables().ForEach(func(name, t gjson.Result) bool {
		pg := t.Get("postgres")
		if pg.Type == gjson.Null || (!runtime && pg.Get("created_by").String() == "runtime") {
			return true
		}
		table := Table{name.String(), postgresTable(name.String(), pg)}
		if len(pg.Get("foreign_keys").Array()) > 0 {
			then = append(then, table)
		} else {
			first = append(first, table)
		}
		return true
	})
	return append(first, then...)
}

func tables() gjson.Result { return gjson.Get(text, "tables") }

func sqliteTable(name string, t gjson.Result) []string {
	var lines, key []string
	t.Get("columns").ForEach(func(col, c gjson.Result) bool {
		line := quote(col.String()) + " " + c.Get("type").String()
		if c.Get("notnull").Bool() {
			line += " NOT NULL"
		}
		if d := c.Get("default"); d.Type != gjson.Null {
			line += " DEFAULT (" + d.String() + ")"
		}
		if c.Get("pk").Int() > 0 {
			key = append(key, col.String())
		}
		lines = append(lines, line)
		return true
	})
	if t.Get("autoincrement").Bool() && len(key) == 1 {
		for i, line := range lines {
			if strings.HasPrefix(line, quote(key[0])+" ") {
				lines[i] = quote(key[0]) + " INTEGER PRIMARY KEY AUTOINCREMENT"
			}
		}
	} else if len(key) > 0 {
		lines = append(lines, "PRIMARY KEY ("+quoteAll(key)+")")
	}
	lines = append(lines, foreignKeys(t)...)
	return finish(name, lines, t)
}

func postgresTable(name string, t gjson.Result) []string {
	var before, lines, after []string
	t.Get("columns").ForEach(func(col, c gjson.Result) bool {
		line := quote(col.String()) + " " + c.Get("type").String()
		if !c.Get("nullable").Bool() {
			line += " NOT NULL"
		}
		if seq := c.Get("identity_sequence"); seq.Type != gjson.Null {
			before = append(before, "CREATE SEQUENCE IF NOT EXISTS "+quote(seq.String()))
			line += fmt.Sprintf(" DEFAULT nextval('%s')", seq.String())
			after = append(after, fmt.Sprintf("ALTER SEQUENCE %s OWNED BY %s.%s", quote(seq.String()), quote(name), quote(col.String())))
		} else if d := c.Get("default"); d.Type != gjson.Null {
			line += " DEFAULT " + d.String()
		}
		lines = append(lines, line)
		return true
	})
	if key := texts(t.Get("primary_key")); len(key) > 0 {
		lines = append(lines, "PRIMARY KEY ("+quoteAll(key)+")")
	}
	lines = append(lines, foreignKeys(t)...)
	return append(append(before, finish(name, lines, t)...), after...)
}

// finish adds the check constraints and unique indexes that both sides spell alike.
func finish(name string, lines []string, t gjson.Result) []string {
	t.Get("checks").ForEach(func(_, c gjson.Result) bool {
		var allowed []string
		for _, v := range c.Get("allowed").Array() {
			if v.Type == gjson.String {
				allowed = append(allowed, "'"+v.String()+"'")
			} else {
				allowed = append(allowed, v.Raw)
			}
		}
		lines = append(lines, fmt.Sprintf("CHECK (%s IN (%s))", quote(c.Get("column").String()), strings.Join(allowed, ", ")))
		return true
	})
	out := []string{fmt.Sprintf("CREATE TABLE %s (%s)", quote(name), strings.Join(lines, ", "))}
	for _, u := range t.Get("uniques").Array() {
		cols := texts(u.Get("columns"))
		stmt := fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (%s)",
			quote("uq_"+name+"_"+strings.Join(cols, "_")), quote(name), quoteAll(cols))
		if where := u.Get("where"); where.Type != gjson.Null {
			stmt += " WHERE " + where.String()
		}
		out = append(out, stmt)
	}
	return out
}

func foreignKeys(t gjson.Result) []string {
	var out []string
	for _, k := range t.Get("foreign_keys").Array() {
		line := fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s)", quoteAll(texts(k.Get("columns"))),
			quote(k.Get("references").String()), quoteAll(texts(k.Get("ref_columns"))))
		if d := k.Get("on_delete").String(); d != "" {
			line += " ON DELETE " + d
		}
		out = append(out, line)
	}
	return out
}

func texts(list gjson.Result) []string {
	var out []string
	for _, v := range list.Array() {
		out = append(out, v.String())
	}
	return out
}

func quote(name string) string { return `"` + name + `"` }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}
