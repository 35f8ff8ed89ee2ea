package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/convert"
)

// Server is what there is to know of the server and the session.
type Server struct {
	Schema  string // where CIDX's tables are, normally public: see Visible; "" if search_path names no schema that exists
	User    string
	Version int // 150018
}

// Release is the version as people write it: "15.18".
func (s Server) Release() string { return fmt.Sprintf("%d.%d", s.Version/10000, s.Version%10000) }

// Catalog is the schema as the server has it.
type Catalog struct {
	Server Server
	Tables map[string]*Table
}

// Table is a table of the schema.
type Table struct {
	Schema, Name string
	OID          string
	Owned        bool // by the session's role, or one it is a member of
	Partitioned  bool
	Triggers     string // and rules, but for those of foreign keys: "trigger a, rule b"
	Columns      []Column
	Key          []string // primary key
	Uniques      []Unique // primary key included
	ForeignKeys  []ForeignKey
}

// Column is a column that can be written.
type Column struct {
	Name     string
	Number   int // stays what it is when the name changes
	Type     convert.Type
	NotNull  bool
	Default  bool   // has a default or is an identity
	Sequence string // that fills it, spelled for SQL; "" if none
}

// Unique is a unique index without expressions.
type Unique struct {
	Columns []string
	Where   string // predicate of a partial index, as PostgreSQL prints it
}

// ForeignKey is a reference between tables of the schema.
type ForeignKey struct {
	Name    string
	Columns []string
	Table   string
}

// Qualified spells the table for SQL.
func (t *Table) Qualified() string { return Quote(t.Schema) + "." + Quote(t.Name) }

// Column returns the column of that name.
func (t *Table) Column(name string) (*Column, bool) {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i], true
		}
	}
	return nil, false
}

// Visible are the tables that CIDX finds, because it never names a schema: the
// first one of a name along search_path. It is a condition on pg_class c and
// pg_namespace n.
const Visible = `c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`

// Schema is the schema in which CIDX finds its tables, as an SQL expression:
// that of its list of migrations, or of its users, else the one in which
// search_path would make them.
const Schema = `coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = coalesce(to_regclass('schema_migrations'), to_regclass('users')) AND ` + Visible + `), current_schema())`

const (
	serverSQL = `SELECT ` + Schema + `, current_user, current_setting('server_version_num')`

	columnsSQL = `SELECT c.relname, c.oid, pg_has_role(c.relowner, 'USAGE'), c.relkind = 'p',
		CASE WHEN c.relhastriggers OR c.relhasrules THEN (SELECT string_agg(name, ', ') FROM (
			SELECT 'trigger ' || quote_ident(t.tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
			UNION ALL SELECT 'rule ' || quote_ident(w.rulename) FROM pg_rewrite w WHERE w.ev_class = c.oid ORDER BY 1) x(name)) END,
		a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> '',
		CASE WHEN a.atthasdef OR a.attidentity <> '' THEN coalesce(
			pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname),
			substring(pg_get_expr(d.adbin, d.adrelid) FROM 'nextval\(''(.*)''::regclass\)')) END, n.nspname, a.attnum
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE ` + Visible + ` ORDER BY c.relname, a.attnum`

	uniquesSQL = `SELECT c.relname, i.relname, x.indisprimary, pg_get_expr(x.indpred, x.indrelid),
		(SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(x.indkey[0:x.indnkeyatts-1]) WITH ORDINALITY k(num, n)
			JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.num)
		FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_class i ON i.oid = x.indexrelid
		WHERE x.indisunique AND x.indexprs IS NULL AND ` + Visible + ` ORDER BY c.relname, i.relname`

	referencesOfSQL = `SELECT c.relname, k.conname, f.relname,
		(SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
			JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num)
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_class f ON f.oid = k.confrelid
		WHERE k.contype = 'f' AND ` + Visible + ` ORDER BY c.relname, k.conname`
)

// Inspect reads the catalog in one round trip.
func Inspect(ctx context.Context, conn *pgconn.PgConn) (*Catalog, error) {
	answers, err := Batch(ctx, conn, serverSQL, columnsSQL, uniquesSQL, referencesOfSQL)
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	c := &Catalog{Server: server(answers[0][0]), Tables: map[string]*Table{}}
	for _, r := range answers[1] {
		t := c.table(r)
		column := Column{Name: string(r[5]), Type: convert.ParseType(string(r[6])),
			NotNull: yes(r[7]), Default: yes(r[8]), Sequence: string(r[9])}
		column.Number, _ = strconv.Atoi(string(r[11]))
		t.Columns = append(t.Columns, column)
	}
	for _, r := range answers[2] {
		t := c.Tables[string(r[0])]
		if t == nil {
			continue
		}
		u := Unique{Where: string(r[3]), Columns: names(r[4])}
		t.Uniques = append(t.Uniques, u)
		if yes(r[2]) {
			t.Key = u.Columns
		}
	}
	for _, r := range answers[3] {
		if t := c.Tables[string(r[0])]; t != nil {
			t.ForeignKeys = append(t.ForeignKeys, ForeignKey{Name: string(r[1]), Table: string(r[2]), Columns: names(r[3])})
		}
	}
	return c, nil
}

func server(r [][]byte) Server {
	version, _ := strconv.Atoi(string(r[2]))
	return Server{Schema: string(r[0]), User: string(r[1]), Version: version}
}

// table returns the table of a row of columnsSQL, made if it is new.
func (c *Catalog) table(r [][]byte) *Table {
	name := string(r[0])
	t := c.Tables[name]
	if t == nil {
		t = &Table{Schema: string(r[10]), Name: name, OID: string(r[1]), Owned: yes(r[2]), Partitioned: yes(r[3]), Triggers: string(r[4])}
		c.Tables[name] = t
	}
	return t
}

func yes(b []byte) bool { return string(b) == "t" }

// names reads a list of names that is JSON.
func names(list []byte) (names []string) {
	_ = json.Unmarshal(list, &names) // PostgreSQL wrote it
	return names
}
