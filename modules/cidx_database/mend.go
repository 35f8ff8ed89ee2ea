package database

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/sqlite"
)

// mend follows a load that met a row it cannot move: everything was rolled
// back. Now all such rows are searched for. They stop the run, or go to
// quarantine and the load is done again without them.
func (r *runner) mend(ctx context.Context, cause error) error {
	progress.Line(ctx, "  Rolled back; looking for everything that does not fit...")
	r.changes = tally{}
	if err := r.search(ctx); err != nil {
		return errors.Join(err, r.finds.save())
	}
	if r.finds.total() == 0 {
		return r.unexplained(cause)
	}
	if !r.args.Quarantine {
		r.out.Msg = fmt.Sprintf("%s values or rows do not fit; PostgreSQL is as it was", human.Number(r.finds.total()))
		if err := r.finds.save(); err != nil {
			return err
		}
		return r.found()
	}
	if err := r.writeQuarantine(ctx); err != nil {
		return errors.Join(err, r.finds.save())
	}
	if err := r.finds.save(); err != nil { // before the commit
		return err
	}
	r.changes = tally{}
	err := r.transfer(ctx)
	if errors.Is(err, errMisfit) || constraint(err) {
		return r.unexplained(err)
	}
	if err != nil {
		return r.explain(err)
	}
	r.warnings.add("%s rows are in quarantine (%s): they are not in PostgreSQL", human.Number(r.finds.quarantined), r.state.Report(quarantineFile))
	return r.finish(ctx)
}

// unexplained is for a refusal of PostgreSQL whose row we did not find.
func (r *runner) unexplained(cause error) error {
	if errors.Is(cause, errMisfit) {
		return fmt.Errorf("load: a value does not fit, but no search finds it; this is a bug of the tool")
	}
	explained := r.explain(cause)
	var p problem.Problem
	if errors.As(explained, &p) {
		p.Fix = "PostgreSQL refuses a row that this tool takes for good: look at its constraints and triggers; nothing was changed"
		return p
	}
	return explained
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

func (r *runner) quarantine() int64 {
	var n int64
	for _, t := range r.plan.tables {
		n += int64(len(t.bad))
	}
	return n
}

// writeQuarantine keeps the rows that are left out; the reasons stand in the
// list of problems, by the same row ids.
func (r *runner) writeQuarantine(ctx context.Context) error {
	r.finds.quarantined = r.quarantine()
	for _, t := range r.plan.tables {
		if len(t.bad) == 0 {
			continue
		}
		if err := t.noteBad(); err != nil {
			return err
		}
		sql := "SELECT c." + rowID + ", c.* FROM " + t.identified() + " c WHERE c." + rowID + " IN (SELECT id FROM cidx_bad WHERE t = ?)"
		rows, err := t.conn.Query(sql, sqlite.TextValue(t.Name))
		if err != nil {
			return err
		}
		if err := r.writeRows(ctx, t, rows); err != nil {
			return err
		}
	}
	return nil
}

// writeRows writes rows of the form id, id, columns as SQLite has them.
func (r *runner) writeRows(ctx context.Context, t *table, rows *sqlite.Rows) error {
	defer rows.Close()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		q := quarantined{Table: t.Name, File: t.File, Row: rows.Int(0), Values: map[string]any{}}
		for i, c := range t.from.Columns {
			q.Values[c.Name] = original(rows.Value(i + 2))
		}
		q.Key = t.originalKey(q)
		if err := r.finds.line(quarantineFile, q); err != nil {
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
		return number(v.Real)
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
