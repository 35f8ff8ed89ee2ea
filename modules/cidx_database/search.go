package database

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

// find is one reason why a row cannot be moved.
type find struct {
	Table  string `json:"table"`
	File   string `json:"file"`
	Row    int64  `json:"row"` // SQLite's row id
	Key    string `json:"key"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	Value  string `json:"value,omitempty"` // only of kinds that hold no secrets
	Fix    string `json:"fix"`
}

// problemsFile is the complete list of finds.
const problemsFile = "problems.jsonl"

// add keeps a find: the first ones for the reply, all of them in the report.
func (f *finds) add(x find) error {
	if f.counts == nil {
		f.counts = map[string]int64{}
	}
	f.counts[x.Table]++
	if len(f.problems) < listed {
		at := x.File + ": " + x.Table
		if x.Column != "" {
			at += "." + x.Column
		}
		what := "row " + strings.TrimPrefix(x.Key, "row ") + ": " + x.Reason
		if x.Value != "" {
			what += ": " + x.Value
		}
		f.problems = append(f.problems, cidx.Problem{What: what, At: at, Fix: x.Fix})
	}
	return f.line(problemsFile, x)
}

func (f *finds) total() int64 {
	var n int64
	for _, c := range f.counts {
		n += c
	}
	return n
}

// search finds everything that keeps rows of the snapshot from arriving: values
// that do not fit, violated checks, clashes of keys, orphans. Parents come
// before children, so that children of rows that cannot move are orphans too.
func (r *runner) search(ctx context.Context) error {
	for _, t := range r.plan.tables {
		t.bad = nil
		if t.conn == nil {
			continue
		}
		r.meter.begin("checking "+t.Name, t.rows, "")
		for _, step := range []func(context.Context, *table) error{r.searchValues, r.searchChecks, r.searchClashes, r.searchOrphans} {
			if err := step(ctx, t); err != nil {
				return err
			}
			slices.Sort(t.bad)
			t.bad = slices.Compact(t.bad)
		}
		r.warnDangling(t)
	}
	return nil
}

// searchValues converts every value.
func (r *runner) searchValues(ctx context.Context, t *table) error {
	d, err := r.read(t, false)
	if err != nil {
		return err
	}
	defer d.rows.Close()
	enc := encoder{columns: t.columns}
	var scratch []byte
	var n int64
	for d.next() {
		var fault *convert.Fault
		if scratch, _, fault = enc.append(scratch[:0], d.values()); fault != nil {
			if err := r.explainRow(t, d, &enc); err != nil {
				return err
			}
			t.bad = append(t.bad, d.id())
		}
		if n++; n%4096 == 0 {
			r.meter.at(n)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	t.rows, t.sum = n, enc.sum
	r.count(d.tally)
	r.warnTimes(t)
	return d.close()
}

// warnTimes tells of times whose zone is a guess.
func (r *runner) warnTimes(t *table) {
	for i := range t.columns {
		c := &t.columns[i]
		if c.Assumed > 0 {
			r.warnings.add("%s.%s: %d times have no offset; they are taken as UTC", t.Name, c.Name, c.Assumed)
		}
		if c.Ambiguous > 0 {
			r.warnings.add("%s.%s: %d local times fall into a change of the clocks; the earlier moment is taken", t.Name, c.Name, c.Ambiguous)
		}
		c.Assumed, c.Ambiguous = 0, 0
	}
}

// explainRow names every value of a row that does not fit.
func (r *runner) explainRow(t *table, d *reader, enc *encoder) error {
	row := d.values()
	for i := range row {
		c := &t.columns[i]
		var fault *convert.Fault
		if c.NotNull && row[i].IsNull() {
			fault = missing
		} else if _, fault = enc.source.Append(nil, &c.Column, &row[i]); fault == nil {
			_, fault = c.Append(nil, &row[i])
		}
		if fault == nil {
			continue
		}
		x := find{Table: t.Name, File: t.File, Row: d.id(), Key: t.keyOf(d.id(), row), Column: c.Name, Reason: fault.Reason, Fix: fault.Fix}
		if fault.Show && !c.Secret && !textual(c.Type.Kind) {
			x.Value = excerpt(row[i].String())
		}
		if err := r.finds.add(x); err != nil {
			return err
		}
	}
	return nil
}

// excerpt quotes the first characters of a value.
func excerpt(text string) string {
	const most = 40
	text = strings.ToValidUTF8(text, "\ufffd")
	if runes := []rune(text); len(runes) > most {
		return fmt.Sprintf("%q…", string(runes[:most]))
	}
	return fmt.Sprintf("%q", text)
}

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

// searchSQL notes every row that a query returns.
func (r *runner) searchSQL(t *table, sql, column, reason, fix string) error {
	rows, err := t.conn.Query(sql)
	if err != nil {
		return fmt.Errorf("check table %s: %w", t.Name, err)
	}
	defer rows.Close()
	row := make([]sqlite.Value, len(t.columns)+1)
	known := t.bad
	for rows.Next() {
		rows.Read(row)
		id := row[0].Int
		if _, already := slices.BinarySearch(known, id); already {
			continue
		}
		if err := r.finds.add(find{Table: t.Name, File: t.File, Row: id, Key: t.keyOf(id, row[1:]), Column: column, Reason: reason, Fix: fix}); err != nil {
			return err
		}
		t.bad = append(t.bad, id)
	}
	return rows.Err()
}

// warnDangling tells of references that only SQLite declares: PostgreSQL takes
// such rows, so they move as they are.
func (r *runner) warnDangling(t *table) {
	for from, to := range t.Checked {
		name, column, _ := strings.Cut(to, ".")
		parent := r.plan.table(name)
		if parent == nil || parent.conn != t.conn {
			continue
		}
		if _, ok := t.from.Column(from); !ok {
			continue
		}
		n, err := t.number("SELECT count(*) FROM " + sqlite.Quote(t.from.Name) + " c WHERE c." + sqlite.Quote(from) + " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " +
			sqlite.Quote(parent.from.Name) + " p WHERE p." + sqlite.Quote(column) + " = c." + sqlite.Quote(from) + ")")
		if err == nil && n > 0 {
			r.warnings.add("%s.%s: %d rows refer to rows of %s that do not exist; they move as they are", t.Name, from, n, name)
		}
	}
}
