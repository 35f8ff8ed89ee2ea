package load

import (
	"fmt"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// Required finds columns that PostgreSQL insists on and the source lacks.
func (t *Table) Required() problem.List {
	var problems problem.List
	for _, c := range t.To.Columns {
		if t.Index(c.Name) < 0 && c.NotNull && !c.Default && t.Guess > 0 {
			problems = append(problems, problem.Problem{At: t.At(),
				What: "PostgreSQL requires column " + c.Name + ", which the source does not have",
				Fix:  "start the standalone server of the release that the cluster runs once, so that it upgrades its databases"})
		}
	}
	return problems
}

// LargeTable is from how many rows on rebuilding indexes pays: a load of 10^5
// rows was a quarter shorter with it for the two tables of 10,000 rows, and
// longer with it for those of 1,000.
const LargeTable = 5000

// Estimate guesses the number of rows from the row ids, and counts where that may
// matter: Large decides about indexes, and warnings show the number.
func (t *Table) Estimate() error {
	var err error
	if t.From.RowID != "" {
		id, from := t.From.RowID, " FROM "+sqlite.Quote(t.From.Name)
		t.Guess, err = t.Conn.Number("SELECT coalesce((SELECT max(" + id + ")" + from + ") - (SELECT min(" + id + ")" + from + ") + 1, 0)")
		if err != nil || t.Guess >= 0 && t.Guess < LargeTable {
			return err
		}
	}
	t.Guess, err = t.Count()
	t.Large = t.Guess >= LargeTable
	return err
}

// Order sorts tables so that parents come first, else as they are.
func Order(tables []*Table) ([]*Table, error) {
	var sorted []*Table
	byName := map[string]*Table{}
	for _, t := range tables {
		byName[t.Name] = t
	}
	state := map[*Table]int{} // 1: being visited, 2: done
	var visit func(t *Table) error
	visit = func(t *Table) error {
		if state[t] == 2 {
			return nil
		}
		if state[t] == 1 {
			return fmt.Errorf("order tables: %s refers to itself through other tables", t.Name)
		}
		state[t] = 1
		for _, f := range t.To.ForeignKeys {
			if parent := byName[f.Table]; parent != nil && parent != t {
				if err := visit(parent); err != nil {
					return err
				}
			}
		}
		state[t] = 2
		sorted = append(sorted, t)
		return nil
	}
	for _, t := range tables {
		if err := visit(t); err != nil {
			return tables, err
		}
	}
	return sorted, nil
}
