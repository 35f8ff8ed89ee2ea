package database

import (
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/warm"
)

// transfer is what one passage does about a table: what it found in the target,
// and what it has put there.
type transfer struct {
	*table
	rows   int64 // a guess until the table is loaded
	status string
	seeded int64      // rows of a first start that the target has
	guests *guests    // rows of the target that stay beside ours
	but    string     // condition on rows of the target that are looked at; "" for all
	frozen bool       // loaded with COPY FREEZE
	delta  *delta     // what has changed since the warm load; nil if the table is loaded as a whole
	sum    digest.Sum // of the rows that were sent
	tally  load.Tally // what was changed in them
	left   []int64    // sorted ids of rows that are left out
}

// transfers are those of a plan, in its order.
type transfers []*transfer

func (p *plan) transfers() transfers {
	list := make(transfers, len(p.tables))
	for i, t := range p.tables {
		list[i] = &transfer{table: t, rows: t.guess}
	}
	return list
}

func (list transfers) find(name string) *transfer {
	for _, t := range list {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// totals are those of all tables that have a source.
type totals struct {
	tables  int
	rows    int64
	work    int64 // rows to carry over, and to read back
	left    int64 // rows that are left out
	changes load.Tally
}

func (list transfers) totals() (sum totals) {
	for _, t := range list {
		if t.Conn == nil {
			continue
		}
		sum.tables++
		sum.rows += t.rows
		sum.left += int64(len(t.left))
		sum.changes = sum.changes.Plus(t.tally)
		sum.work += t.rows
		if t.status != statusKept {
			sum.work += t.rows
		}
	}
	return sum
}

func (list transfers) marks() map[string]tableMark {
	marks := map[string]tableMark{}
	for _, t := range list {
		if t.Conn != nil {
			marks[t.Name] = tableMark{Rows: t.sum.Rows, Digest: t.sum.String(), Left: t.left}
		}
	}
	return marks
}

// ours is the condition of the rows that are, or will be, SQLite's.
func (t *transfer) ours() string {
	var conditions []string
	if t.guests != nil {
		conditions = append(conditions, t.IDName()+" <= "+strconv.FormatInt(t.guests.above, 10))
	}
	if t.but != "" {
		conditions = append(conditions, t.but)
	}
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// target spells the table for package warm.
func (t *transfer) target() warm.Target {
	to := warm.Target{Table: t.To.Qualified()}
	for _, c := range t.Columns {
		to.Columns = append(to.Columns, postgres.Quote(c.Name))
	}
	for _, k := range t.Key {
		to.Key = append(to.Key, postgres.Quote(t.Columns[k].Name))
	}
	if condition, ok := strings.CutPrefix(t.ours(), " WHERE "); ok && t.guests != nil {
		to.Where = "t." + condition
	}
	return to
}
