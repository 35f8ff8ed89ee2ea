package home

import (
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/sqlite"
)

// describing are columns that tell an operator which job a row is, in the order
// in which they are shown.
var describing = []string{"operation_type", "job_type", "repo_alias", "repository_url", "username"}

// jobs lists the rows that CIDX takes for running or waiting jobs, of all tables
// that the catalogue knows to hold such.
func jobs(c *sqlite.Conn) ([]Job, error) {
	known, err := c.Tables()
	if err != nil {
		return nil, err
	}
	var list []Job
	for _, t := range known {
		entry, ok := cidx.FindTable(t.Name)
		if !ok || entry.Active == nil {
			continue
		}
		found, err := jobsOf(c, t, *entry.Active)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

func jobsOf(c *sqlite.Conn, t sqlite.Table, rule cidx.ActiveRule) ([]Job, error) {
	has := func(name string) bool {
		return slices.ContainsFunc(t.Columns, func(col sqlite.Column) bool { return col.Name == name })
	}
	if !has(rule.Status) {
		return nil, nil
	}
	columns := []string{rule.Status}
	for _, name := range describing {
		if has(name) {
			columns = append(columns, name)
		}
	}
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM " + t.Name +
		" WHERE " + rule.Status + " IN ('" + strings.Join(rule.Active, "', '") + "') ORDER BY 1 DESC, 2"
	var list []Job
	err := each(c, sql, func(row *sqlite.Rows) {
		var words []string
		for i := 1; i < len(columns); i++ {
			if w := row.Text(i); w != "" {
				words = append(words, w)
			}
		}
		list = append(list, Job{Status: row.Text(0), What: strings.Join(words, " ")})
	})
	return list, err
}
