// Package review tells what became of tables since rows were loaded into them: it
// compares every row with the copy that was loaded, in one consistent view, or
// counts where that is gone. It knows tables, not CIDX.
package review

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// Statuses of a table that was loaded earlier.
const (
	StatusEqual   = "equal"   // as it was loaded
	StatusChanged = "changed" // the cluster has written
	StatusCounted = "counted" // nothing is left to compare with
	StatusLost    = "lost"    // rows are missing that the server does not delete by itself
)

// Table is what became of a table since it was loaded.
type Table struct {
	Table   string   `json:"table"`
	File    string   `json:"file"`
	Rows    int64    `json:"rows"` // in PostgreSQL
	Status  string   `json:"status"`
	Equal   int64    `json:"equal"`
	Changed int64    `json:"changed"`
	Added   int64    `json:"added"`
	Lost    int64    `json:"lost"`
	Keys    []string `json:"-"` // of the first lost rows
	sum     digest.Sum
}

// Tables compares those that were loaded with their copy. With export, every
// difference goes to the list of what the cluster has written.
func Tables(ctx context.Context, w load.Work, marks map[string]load.Mark, export bool) ([]*Table, error) {
	if err := postgres.Run(ctx, w.Conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return nil, err
	}
	var list []*Table
	rows := int64(0)
	for name, mark := range marks {
		rows += mark.Rows
		if w.Catalog.Tables[name] == nil {
			list = append(list, &Table{Table: name, Status: StatusLost, Lost: mark.Rows, Keys: []string{"the whole table"}})
		}
	}
	w.Meter.Whole(rows)
	for _, t := range w.Passage().Every {
		mark, loaded := marks[t.Name]
		t.Left = mark.Left
		if !loaded || t.Conn == nil {
			continue
		}
		v, err := compare(ctx, w, t, mark, export)
		if err != nil {
			return nil, err
		}
		w.Meter.End()
		list = append(list, v)
		progress.Line(ctx, "  Comparing %s... %s", t.Name, v)
	}
	return list, postgres.Run(ctx, w.Conn, "COMMIT")
}

func compare(ctx context.Context, w load.Work, t *load.Transfer, mark load.Mark, export bool) (*Table, error) {
	w.Meter.Begin("comparing "+t.Name, mark.Rows, "")
	ours, theirs, err := t.BothSums(ctx, w.Conn, w.Meter)
	if err != nil {
		return nil, err
	}
	v := &Table{Table: t.Name, File: t.File, Rows: theirs.Rows, Status: StatusEqual, Equal: theirs.Rows, sum: theirs}
	if want, err := mark.Sum(); err != nil || want != ours {
		w.Warnings.Add("%s: the snapshot is not what was loaded; differences may come from there", t.Name)
	}
	if ours == theirs {
		return v, nil
	}
	v.Status = StatusChanged
	if len(t.Key) == 0 {
		v.Equal, v.Changed = 0, theirs.Rows
		v.Lost = max(0, ours.Rows-theirs.Rows)
		return v, nil
	}
	v.Equal, err = t.Merge(ctx, w.Conn, t.Left, t.Ours(), func(d load.Difference) error {
		switch d.Kind {
		case load.Added:
			v.Added++
		case load.Changed:
			v.Changed++
		default:
			v.Lost++
			if len(v.Keys) < 5 {
				v.Keys = append(v.Keys, d.Key)
			}
		}
		if export {
			return w.Lists.Write(t.Table, d, "")
		}
		return nil
	})
	if v.Lost > 0 && !t.Wanes {
		v.Status = StatusLost
	}
	return v, err
}

// Mark is what the table holds now.
func (v *Table) Mark() load.Mark { return load.Mark{Rows: v.sum.Rows, Digest: v.sum.String()} }

// String is the end of a transcript line.
func (v *Table) String() string {
	if v.Status == StatusEqual {
		return human.Number(v.Rows) + " rows equal"
	}
	parts := []string{human.Number(v.Equal) + " rows equal"}
	for _, p := range []struct {
		n    int64
		word string
	}{{v.Changed, "changed since"}, {v.Added, "added"}, {v.Lost, "no longer there"}} {
		if p.n > 0 {
			parts = append(parts, human.Number(p.n)+" "+p.word)
		}
	}
	return strings.Join(parts, ", ")
}

// Count counts the rows of one table that was loaded.
func Count(ctx context.Context, s *load.Session, t Table, wanes bool, mark load.Mark) (*Table, error) {
	v := &t
	v.Status = StatusCounted
	if to := s.Catalog.Tables[t.Table]; to != nil {
		var err error
		if v.Rows, err = postgres.Number(ctx, s.Conn, "SELECT count(*) FROM "+to.Qualified()); err != nil {
			return nil, fmt.Errorf("count %s: %w", t.Table, err)
		}
	} else {
		v.Status, v.Lost = StatusLost, mark.Rows
	}
	if v.Rows == 0 && mark.Rows > 0 && !wanes {
		v.Status, v.Lost = StatusLost, mark.Rows
	}
	progress.Line(ctx, "  Counting %s... %s, %s loaded", t.Table, human.Count(v.Rows, "row", "rows"), human.Number(mark.Rows))
	return v, nil
}

// Sum are all tables together.
func Sum(list []*Table) (sum Table) {
	for _, v := range list {
		sum.Rows, sum.Changed, sum.Added, sum.Lost = sum.Rows+v.Rows, sum.Changed+v.Changed, sum.Added+v.Added, sum.Lost+v.Lost
	}
	return sum
}
