package database

import (
	"context"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// lacking is a table of the catalogue that the source does not have.
type lacking struct {
	cidx.Table
	reason string
	lost   bool // its file cannot be what CIDX has left
}

// lacks tells why the source does not have a table that moves: an older release
// may lack one, but no file of CIDX is without the tables that made it.
func (p planner) lacks(entry cidx.Table) lacking {
	switch {
	case p.source.files[entry.File] == nil:
		return lacking{Table: entry, reason: entry.File + " does not exist"}
	case !entry.Core:
		return lacking{Table: entry, reason: "not in " + entry.File + ", as in an older release"}
	case p.accepted(entry.Name) || p.accepted(entry.File):
		return lacking{Table: entry, reason: "missing in " + entry.File + ", as accepted"}
	}
	return lacking{Table: entry, reason: "missing in " + entry.File, lost: true}
}

// lostTables are the problems of files without the tables that they must have,
// one a file.
func (p planner) lostTables() error {
	var problems problem.List
	for _, f := range cidx.DatabaseFiles() {
		var names []string
		for _, l := range p.plan.lacking {
			if l.lost && l.File == f.Path {
				names = append(names, l.Name)
			}
		}
		if len(names) > 0 {
			problems = append(problems, problem.Problem{
				What: "every CIDX server makes these tables in it, but they are not there: " + strings.Join(names, ", "),
				At:   filepath.Join(p.args.Home, f.Path),
				Fix: "restore the file from a backup, with its -wal if there is one: it was emptied, or the tables were dropped; " +
					"if what they held may be lost, add " + f.Path + " to cidx_database_accept",
			})
		}
	}
	return problems.Err()
}

// tellLacking says in the transcript which tables are not there.
func (p *plan) tellLacking(ctx context.Context) {
	var reasons []string
	names := map[string][]string{}
	for _, l := range p.lacking {
		if names[l.reason] == nil {
			reasons = append(reasons, l.reason)
		}
		names[l.reason] = append(names[l.reason], l.Name)
	}
	for _, reason := range reasons {
		for _, line := range skipping(names[reason], reason) {
			progress.Line(ctx, "%s", line)
		}
	}
}

// skipping are lines that no terminal wraps.
func skipping(names []string, reason string) []string {
	const most = 80
	line := "  Skipping " + strings.Join(names, ", ") + "... " + reason
	if len(line) <= most || len(names) == 1 {
		return []string{line}
	}
	lines := []string{"  Skipping " + human.Count(len(names), "table", "tables") + "... " + reason}
	row := "   "
	for i, name := range names {
		if i < len(names)-1 {
			name += ","
		}
		if len(row)+1+len(name) > most {
			lines, row = append(lines, row), "   "
		}
		row += " " + name
	}
	return append(lines, row)
}
