package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Rebuild is a set of indexes and constraints that are dropped for a load and
// made again after it, in one transaction (PostgreSQL's DDL is transactional).
type Rebuild struct {
	tables []string // oids
	before []string // every definition, one a line
	drop   []string
	create []string
	Kept   []string // what was left in place, with the reason
}

const (
	// Everything that makes an index what it is; reason is why it must not be
	// dropped, if there is one.
	indexesSQL = `SELECT c.oid::regclass, i.oid::regclass, pg_get_indexdef(i.oid),
		coalesce(k.conname, ''), coalesce(k.contype::text, ''), coalesce(pg_get_constraintdef(k.oid), ''),
		CASE WHEN NOT x.indisvalid OR NOT x.indisready THEN 'not valid' WHEN i.reltablespace <> 0 THEN 'in a tablespace of its own'
			WHEN i.reloptions IS NOT NULL THEN 'with storage options'
			WHEN x.indisclustered THEN 'the table is clustered on it' WHEN x.indisreplident THEN 'replica identity'
			WHEN k.contype = 'x' THEN 'an exclusion constraint' WHEN k.condeferrable THEN 'deferrable'
			WHEN EXISTS (SELECT FROM pg_description WHERE objoid IN (i.oid, k.oid)
				AND classoid IN ('pg_class'::regclass, 'pg_constraint'::regclass)) THEN 'with a comment'
			WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.oid AND coalesce(a.attstattarget, -1) >= 0)
				THEN 'with statistics targets'
			WHEN EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_constraint'::regclass AND refobjid = k.oid
				AND classid = 'pg_rewrite'::regclass) THEN 'a view depends on it'
			WHEN EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.oid) OR c.relispartition
				THEN 'part of a partitioned table' ELSE '' END
		FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
		LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
		WHERE x.indrelid IN (%s) ORDER BY 1, 2`

	referencesSQL = `SELECT k.conrelid::regclass, quote_ident(k.conname), pg_get_constraintdef(k.oid),
		pg_has_role(c.relowner, 'USAGE') AND pg_has_role(f.relowner, 'USAGE'), k.conindid::regclass,
		(SELECT description FROM pg_description d WHERE d.objoid = k.oid AND d.classoid = 'pg_constraint'::regclass), k.convalidated
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
		WHERE k.contype = 'f' AND (k.conrelid IN (%[1]s) OR k.confrelid IN (%[1]s)) ORDER BY 1, 2`

	attributesSQL = `SELECT a.attrelid::regclass, quote_ident(a.attname), a.attnotnull, format_type(a.atttypid, a.atttypmod)
		FROM pg_attribute a WHERE a.attrelid IN (%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum`
)

// PlanRebuild reads the definitions of every index and foreign key of tables.
// Tables must be owned by the session's role.
func PlanRebuild(ctx context.Context, conn *pgconn.PgConn, tables []*Table) (*Rebuild, error) {
	b := &Rebuild{}
	for _, t := range tables {
		b.tables = append(b.tables, t.OID)
	}
	indexes, references, err := b.read(ctx, conn)
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{}
	var last []string // what refers to the others
	for _, r := range references {
		if !yes(r[3]) || r[5] != nil || !yes(r[6]) {
			kept[string(r[4])] = true // its index cannot go either
			b.Kept = append(b.Kept, fmt.Sprintf("foreign key %s of %s (not ours alone)", r[1], r[0]))
			continue
		}
		b.drop = append(b.drop, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", r[0], r[1]))
		last = append(last, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", r[0], r[1], r[2]))
	}
	for _, r := range indexes {
		b.index(r, kept[string(r[1])])
	}
	b.create = append(b.create, last...)
	return b, nil
}

// index plans one index, with the constraint that it carries.
func (b *Rebuild) index(r [][]byte, needed bool) {
	table, name, reason := string(r[0]), string(r[1]), string(r[6])
	if needed {
		reason = "a foreign key needs it"
	}
	if reason != "" {
		b.Kept = append(b.Kept, fmt.Sprintf("index %s (%s)", name, reason))
		return
	}
	if constraint := Quote(string(r[3])); len(r[3]) > 0 {
		b.drop = append(b.drop, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, constraint))
		b.create = append(b.create, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", table, constraint, r[5]))
		return
	}
	b.drop = append(b.drop, "DROP INDEX "+name)
	b.create = append(b.create, string(r[2]))
}

func (b *Rebuild) read(ctx context.Context, conn *pgconn.PgConn) (indexes, references [][][]byte, err error) {
	list := strings.Join(b.tables, ", ")
	answers, err := Batch(ctx, conn, fmt.Sprintf(indexesSQL, list), fmt.Sprintf(referencesSQL, list), fmt.Sprintf(attributesSQL, list))
	if err != nil {
		return nil, nil, fmt.Errorf("read definitions of indexes: %w", err)
	}
	if b.before == nil {
		b.before = definitions(answers)
	} else if after := definitions(answers); !slices.Equal(after, b.before) {
		without := func(lines, other []string) []string {
			return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(other, line) })
		}
		return nil, nil, fmt.Errorf("rebuild indexes: the definitions differ from those before: missing: %q; new: %q",
			without(b.before, after), without(after, b.before))
	}
	return answers[0], answers[1], nil
}

func definitions(answers [][][][]byte) []string {
	lines := []string{}
	for _, rows := range answers {
		for _, r := range rows {
			lines = append(lines, string(bytes.Join(r, []byte(" | "))))
		}
	}
	slices.Sort(lines)
	return lines
}

// Drop drops everything that was planned, foreign keys first.
func (b *Rebuild) Drop(ctx context.Context, conn *pgconn.PgConn) error {
	if err := Run(ctx, conn, strings.Join(b.drop, ";\n")); err != nil {
		return fmt.Errorf("drop indexes: %w", err)
	}
	return nil
}

// Create makes everything again, foreign keys last, and proves that all
// definitions are what they were. tell is called before each statement.
func (b *Rebuild) Create(ctx context.Context, conn *pgconn.PgConn, tell func(statement string)) error {
	for _, sql := range b.create {
		tell(sql)
		if err := Run(ctx, conn, sql); err != nil {
			return fmt.Errorf("rebuild indexes: %w", err)
		}
	}
	_, _, err := b.read(ctx, conn)
	return err
}
