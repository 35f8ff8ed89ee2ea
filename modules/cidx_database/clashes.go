package database

import (
	"context"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

// searchChecks evaluates the target's check constraints.
func (r *runner) searchChecks(_ context.Context, t *table) error {
	for _, check := range t.to.Checks {
		condition, ok := translate(check.Expression, t.expressions())
		if !ok {
			r.warnings.add("check constraint %s of %s cannot be tried out in SQLite; PostgreSQL applies it during the load", check.Name, t.Name)
			continue
		}
		sql := "SELECT " + t.selection() + " FROM " + t.identified() + " WHERE NOT (" + condition + ")"
		if err := r.searchSQL(t, sql, "", "violates check constraint "+check.Name+" "+check.Expression, "correct the value, or delete the row"); err != nil {
			return err
		}
	}
	return nil
}

// searchClashes finds rows that the target's unique indexes would refuse. The
// row with the lowest id is the one that may stay.
func (r *runner) searchClashes(_ context.Context, t *table) error {
	for _, u := range t.to.Uniques {
		sql, ok, err := t.clashes(u)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		what := "another row has the same " + strings.Join(u.Columns, ", ")
		if u.Where != "" {
			what += " where " + u.Where
		}
		if err := r.searchSQL(t, sql, strings.Join(u.Columns, ", "), what+" (unique index "+u.Name+")", "change or delete one of the rows"); err != nil {
			return err
		}
	}
	return nil
}

// clashes spells the search for rows with equal keys; ok is false where there
// is nothing to search for.
func (t *table) clashes(u postgres.Unique) (sql string, ok bool, err error) {
	expressions := t.expressions()
	var keys, present []string
	for _, name := range u.Columns {
		expression := expressions[name]
		if expression == "" {
			return "", false, nil
		}
		keys = append(keys, expression+" COLLATE BINARY")
		present = append(present, expression+" IS NOT NULL")
	}
	if unique, err := t.uniqueInSource(u); unique || err != nil {
		return "", false, err
	}
	if u.Where != "" {
		where, translated := translate(u.Where, expressions)
		if !translated {
			return "", false, nil // PostgreSQL itself checks it during the load
		}
		present = append(present, "("+where+")")
	}
	if err := t.noteBad(); err != nil {
		return "", false, err
	}
	sql = "SELECT " + t.selection() + " FROM (SELECT *, min(" + rowID + ") OVER (PARTITION BY " + strings.Join(keys, ", ") + ") AS cidx_first FROM " +
		t.identified() + " c WHERE " + strings.Join(present, " AND ") + t.notBad("c") + ") WHERE " + rowID + " <> cidx_first"
	return sql, true, nil
}

// uniqueInSource reports whether SQLite itself forbids what the index forbids.
func (t *table) uniqueInSource(u postgres.Unique) (bool, error) {
	columns := map[string]bool{}
	for _, name := range u.Columns {
		for _, c := range t.columns {
			if c.Name == name {
				columns[strings.ToLower(c.Source)] = true
			}
		}
	}
	covers := func(names []string) bool {
		for _, name := range names {
			if !columns[strings.ToLower(name)] {
				return false
			}
		}
		return len(names) > 0
	}
	if covers(t.from.Key) {
		return true, nil
	}
	uniques, err := t.conn.Uniques(t.from.Name)
	return slices.ContainsFunc(uniques, covers), err
}

// searchOrphans finds rows whose parent does not exist or cannot move.
func (r *runner) searchOrphans(_ context.Context, t *table) error {
	for _, f := range t.to.ForeignKeys {
		parent := r.plan.table(f.Table)
		if parent == nil || parent.conn != nil && parent.conn != t.conn {
			continue // PostgreSQL itself checks it during the load
		}
		sql, ok, err := t.orphans(f, parent)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		what := "no row of " + f.Table + " has this " + strings.Join(f.Columns, ", ")
		if err := r.searchSQL(t, sql, strings.Join(f.Columns, ", "), what+" (foreign key "+f.Name+")", "restore the row of "+f.Table+", or delete this one"); err != nil {
			return err
		}
	}
	return nil
}

// orphans spells the search for rows without a parent.
func (t *table) orphans(f postgres.ForeignKey, parent *table) (sql string, ok bool, err error) {
	if err := parent.noteBad(); err != nil {
		return "", false, err
	}
	var present, joined []string
	for i, name := range f.Columns {
		ours, theirs := t.source(name), parent.source(f.RefColumns[i])
		if ours == "" || parent.conn != nil && theirs == "" {
			return "", false, nil
		}
		present = append(present, "c."+ours+" IS NOT NULL")
		joined = append(joined, "p."+theirs+" = c."+ours)
	}
	sql = "SELECT " + t.selection() + " FROM " + t.identified() + " c WHERE " + strings.Join(present, " AND ")
	if parent.conn != nil {
		sql += " AND NOT EXISTS (SELECT 1 FROM " + parent.identified() + " p WHERE " + strings.Join(joined, " AND ") + parent.notBad("p") + ")"
	}
	return sql, true, nil
}

// source spells the column of SQLite that fills a column of PostgreSQL.
func (t *table) source(name string) string {
	for _, c := range t.columns {
		if c.Name == name {
			return sqlite.Quote(c.Source)
		}
	}
	return ""
}

// noteBad puts the rows that are left out where queries can see them.
func (t *table) noteBad() error {
	if len(t.bad) == 0 {
		return nil
	}
	if err := t.conn.Exec("CREATE TEMP TABLE IF NOT EXISTS cidx_bad (t TEXT, id INTEGER, PRIMARY KEY (t, id)) WITHOUT ROWID"); err != nil {
		return err
	}
	for _, id := range t.bad {
		if err := t.conn.Exec("INSERT OR IGNORE INTO cidx_bad VALUES (?, ?)", sqlite.TextValue(t.Name), sqlite.IntegerValue(id)); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) notBad(alias string) string {
	if len(t.bad) == 0 {
		return ""
	}
	return " AND " + alias + "." + rowID + " NOT IN (SELECT id FROM cidx_bad WHERE t = '" + strings.ReplaceAll(t.Name, "'", "''") + "')"
}
