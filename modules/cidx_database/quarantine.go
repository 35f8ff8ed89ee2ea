package database

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/sqlite"
)

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
	rows, err := t.conn.Query("SELECT c." + rowID + ", c.* FROM " + t.identified() + " c") // id, id, columns
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
		for i, c := range t.from.Columns {
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
	row := make([]sqlite.Value, len(t.columns))
	for _, k := range t.key {
		row[k] = sqlite.TextValue(fmt.Sprint(q.Values[t.columns[k].Source]))
	}
	return t.keyOf(q.Row, row)
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
