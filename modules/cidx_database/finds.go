package database

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
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

// finds are the rows that a passage could not move: the first ones for the
// reply, all of them in the list.
type finds struct {
	problems problem.List
	counts   map[string]int64
}

func (f *finds) add(l *lists, x find) error {
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
	return l.line(problemsFile, x)
}

func (f *finds) total() int64 {
	var n int64
	for _, c := range f.counts {
		n += c
	}
	return n
}

// list are the finds for the reply, with a last line for those that are left out.
func (f *finds) list(l *lists) problem.List {
	list := f.problems
	if more := f.total() - int64(len(list)); more > 0 {
		where := problemsFile + " of the real run's report folder"
		if len(l.files) > 0 {
			where = strings.Join(l.files, ", ")
		}
		list = append(list, problem.Problem{What: fmt.Sprintf("and %s more", human.Number(more)), At: where,
			Fix: "correct the values in SQLite, or set cidx_database_quarantine to leave these rows out"})
	}
	return list
}

// misfits are the values of a row that do not fit.
func misfits(t *table, id int64, row []sqlite.Value, enc *load.Encoder) (list []find) {
	for i, fault := range enc.Faults(row) {
		if fault == nil {
			continue
		}
		c := &t.Columns[i]
		x := find{Table: t.Name, File: t.File, Row: id, Key: t.KeyOf(id, row), Column: c.Name, Reason: fault.Reason, Fix: fault.Fix}
		if fault.Show && !c.Secret && !textual(c.Type.Kind) {
			x.Value = excerpt(row[i].String())
		}
		list = append(list, x)
	}
	return list
}

// textual reports whether values of the kind are shown as they are.
func textual(k convert.Kind) bool {
	switch k {
	case convert.Text, convert.Varchar, convert.JSON, convert.JSONB, convert.Bytea:
		return true
	}
	return false
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

// quarantineFile has the rows that were left out, with all their values.
const quarantineFile = "quarantine.jsonl"

// quarantined is a row that was left out.
type quarantined struct {
	Table  string         `json:"table"`
	File   string         `json:"file"`
	Row    int64          `json:"row"`
	Key    string         `json:"key"`
	Values map[string]any `json:"values"` // as SQLite has them; {"base64": …} for what is no text
}

// writeQuarantine keeps the rows that are left out; the reasons stand in the
// list of problems, by the same row ids.
func (r *runner) writeQuarantine(ctx context.Context, tables transfers) error {
	r.quarantined = tables.totals().left
	for _, t := range tables {
		if err := t.writeLeft(ctx, &r.lists); err != nil {
			return err
		}
	}
	r.warnings.add("%s rows are in quarantine (%s): they are not in PostgreSQL",
		human.Number(r.quarantined), r.state.Report(quarantineFile))
	return r.lists.save() // before the commit
}

// writeLeft writes the rows that are left out, as SQLite has them.
func (t *transfer) writeLeft(ctx context.Context, l *lists) error {
	if len(t.left) == 0 {
		return nil
	}
	rows, err := t.Conn.Query("SELECT c." + load.RowID + ", c.* FROM " + t.Identified() + " c") // id, id, columns
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, out := slices.BinarySearch(t.left, rows.Int(0)); !out {
			continue
		}
		q := quarantined{Table: t.Name, File: t.File, Row: rows.Int(0), Values: map[string]any{}}
		for i, c := range t.From.Columns {
			q.Values[c.Name] = original(rows.Value(i + 2))
		}
		q.Key = t.originalKey(q)
		if err := l.line(quarantineFile, q); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *table) originalKey(q quarantined) string {
	row := make([]sqlite.Value, len(t.Columns))
	for _, k := range t.Key {
		row[k] = sqlite.TextValue(fmt.Sprint(q.Values[t.Columns[k].Source]))
	}
	return t.KeyOf(q.Row, row)
}

// original is a value as JSON can hold it without loss.
func original(v sqlite.Value) any {
	switch v.Class {
	case sqlite.Integer:
		return v.Int
	case sqlite.Real:
		if math.IsInf(v.Real, 0) { // JSON has none
			return strconv.FormatFloat(v.Real, 'g', -1, 64)
		}
		return v.Real
	case sqlite.Text:
		if utf8.Valid(v.Bytes) {
			return string(v.Bytes)
		}
		return map[string]any{"class": "text", "base64": v.Bytes} // encoding/json writes bytes in base64
	case sqlite.Blob:
		return map[string]any{"class": "blob", "base64": v.Bytes}
	}
	return nil
}
