package load

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// Find is one reason why a row cannot be moved.
type Find struct {
	Table  string `json:"table"`
	File   string `json:"file"`
	Row    int64  `json:"row"` // SQLite's row id
	Key    string `json:"key"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	Value  string `json:"value,omitempty"` // only of kinds that hold no secrets
	Fix    string `json:"fix"`
}

// ProblemsFile is the complete list of finds.
const ProblemsFile = "problems.jsonl"

// Finds are the rows that a passage could not move: the first ones for the
// reply, all of them in the list.
type Finds struct {
	Problems problem.List
	Counts   map[string]int64 // by table
}

// Listed is how many problems stand in a reply; the complete list is in
// ProblemsFile.
const Listed = 50

func (f *Finds) add(l *Lists, x Find) error {
	if f.Counts == nil {
		f.Counts = map[string]int64{}
	}
	f.Counts[x.Table]++
	if len(f.Problems) < Listed {
		at := x.File + ": " + x.Table
		if x.Column != "" {
			at += "." + x.Column
		}
		what := "row " + strings.TrimPrefix(x.Key, "row ") + ": " + x.Reason
		if x.Value != "" {
			what += ": " + x.Value
		}
		f.Problems = append(f.Problems, problem.Problem{What: what, At: at, Fix: x.Fix})
	}
	return l.Line(ProblemsFile, x)
}

// Total is how many there are.
func (f *Finds) Total() int64 {
	var n int64
	for _, c := range f.Counts {
		n += c
	}
	return n
}

// List are the finds for the reply, with a last line for those that are left out.
func (f *Finds) List(l *Lists) problem.List {
	list := f.Problems
	if more := f.Total() - int64(len(list)); more > 0 {
		where := ProblemsFile + " of the real run's report folder"
		if len(l.Files) > 0 {
			where = strings.Join(l.Files, ", ")
		}
		list = append(list, problem.Problem{What: fmt.Sprintf("and %s more", human.Number(more)), At: where,
			Fix: "correct the values in SQLite, or set cidx_database_quarantine to leave these rows out"})
	}
	return list
}

// long are the kinds whose values may be of any length, and anything.
var long = []convert.Kind{convert.Text, convert.Varchar, convert.JSON, convert.JSONB, convert.Bytea}

// misfits are the values of a row that do not fit.
func misfits(t *Table, id int64, row []sqlite.Value, enc *Encoder) (list []Find) {
	for i, fault := range enc.faults(row) {
		if fault == nil {
			continue
		}
		c := &t.Columns[i]
		x := Find{Table: t.Name, File: t.File, Row: id, Key: t.KeyOf(id, row), Column: c.Name, Reason: fault.Reason, Fix: fault.Fix}
		if fault.Show && !c.Secret && !slices.Contains(long, c.Type.Kind) {
			x.Value = fmt.Sprintf("%q", human.Clip(strings.ToValidUTF8(row[i].String(), "\ufffd"), 40))
		}
		list = append(list, x)
	}
	return list
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
func (n *Notes) writeQuarantine(ctx context.Context, tables Transfers, rows int64) error {
	for _, t := range tables {
		if err := t.writeLeft(ctx, &n.Lists); err != nil {
			return err
		}
	}
	n.Warnings.Add("%s rows are in quarantine (%s): they are not in PostgreSQL",
		human.Number(rows), filepath.Join(n.Lists.Dir, quarantineFile))
	return n.Lists.Save() // before the commit
}

// writeLeft writes the rows that are left out, as SQLite has them.
func (t *Transfer) writeLeft(ctx context.Context, l *Lists) error {
	if len(t.Left) == 0 {
		return nil
	}
	rows, err := t.Conn.Query("SELECT c." + RowID + ", c.* FROM " + t.identified() + " c") // id, id, columns
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, out := slices.BinarySearch(t.Left, rows.Int(0)); !out {
			continue
		}
		q := quarantined{Table: t.Name, File: t.File, Row: rows.Int(0), Values: map[string]any{}}
		for i, c := range t.From.Columns {
			q.Values[c.Name] = original(rows.Value(i + 2))
		}
		key := make([]sqlite.Value, len(t.Columns))
		for _, k := range t.Key {
			key[k] = sqlite.TextValue(fmt.Sprint(q.Values[t.Columns[k].Source]))
		}
		q.Key = t.KeyOf(q.Row, key)
		if err := l.Line(quarantineFile, q); err != nil {
			return err
		}
	}
	return rows.Err()
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
