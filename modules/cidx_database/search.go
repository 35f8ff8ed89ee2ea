package database

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/problem"
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
		f.problems = append(f.problems, problem.Problem{What: what, At: at, Fix: x.Fix})
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
