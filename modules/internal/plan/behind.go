package plan

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/sqlite"
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
	case p.source.Files[entry.File] == nil:
		return lacking{Table: entry, reason: entry.File + " does not exist"}
	case !entry.Core:
		return lacking{Table: entry, reason: "not in " + entry.File + ", as in an older release"}
	case p.Accepted(entry.Name) || p.Accepted(entry.File):
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
				At:   filepath.Join(p.Home, f.Path),
				Fix: "restore the file from a backup, with its -wal if there is one: it was emptied, or the tables were dropped; " +
					"if what they held may be lost, add " + f.Path + " to cidx_database_accept",
			})
		}
	}
	return problems.Err()
}

// TellLacking says in the transcript which tables are not there.
func (p *Plan) TellLacking(ctx context.Context) {
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

// unknownTables finds tables with rows that the catalogue does not name.
func (p planner) unknownTables(known map[string]bool) error {
	var problems problem.List
	for file, tables := range p.source.Tables {
		for _, from := range tables {
			if known[from.Name] || known[strings.ToLower(from.Name)] {
				problems.Add(p.misplaced(file, from))
				continue
			}
			t := p.source.Table(cidx.Table{Name: from.Name, File: file}, from)
			problems.Add(p.leftBehind(t, "table is unknown to this tool"))
		}
	}
	return problems.Err()
}

// misplaced finds rows of a known table in another file than the catalogue's.
func (p planner) misplaced(file string, from sqlite.Table) error {
	entry, _ := cidx.FindTable(strings.ToLower(from.Name))
	if !entry.Copied() || entry.File == file {
		return nil
	}
	t := p.source.Table(cidx.Table{Name: from.Name, File: file}, from)
	if n, err := t.Count(); n == 0 || err != nil {
		return err // activated_repos has an empty table beside its files
	}
	return p.leftBehind(t, "rows in a table that CIDX keeps in "+entry.File)
}

func (p planner) leftBehind(t *load.Table, why string) error {
	return p.leaveBehind(t, why, why, "find out what the table is for; add "+t.Name+" to cidx_database_accept to leave it behind")
}

// unknownFiles finds databases of the home that nobody has named.
func (p planner) unknownFiles() error {
	var problems problem.List
	for _, pattern := range []string{"*.db", "data/*.db"} {
		matches, err := fs.Glob(os.DirFS(p.Home), pattern)
		if err != nil {
			return fmt.Errorf("list databases: %w", err)
		}
		for _, rel := range matches {
			path := filepath.Join(p.Home, rel)
			known := slices.ContainsFunc(cidx.DatabaseFiles(), func(f cidx.DatabaseFile) bool { return f.Path == rel })
			if info, err := os.Stat(path); known || err != nil || info.Size() == 0 {
				continue
			}
			if p.Accepted(rel) {
				p.skip("*", rel, "unknown database; stays behind as accepted")
				continue
			}
			problems = append(problems, problem.Problem{What: "database is unknown to this tool; what is in it would be lost", At: path,
				Fix: "find out what it is for; add " + rel + " to cidx_database_accept to leave it behind"})
		}
	}
	return problems.Err()
}

// warnAbout tells of rows in a skipped table that an operator should know of.
func (p planner) warnAbout(entry cidx.Table) error {
	if entry.Warn == "" {
		return nil
	}
	for _, from := range p.source.Tables[entry.File] {
		if from.Name != entry.Name {
			continue
		}
		t := p.source.Table(entry, from)
		n, err := t.Conn.Number("SELECT count(*) FROM " + sqlite.Quote(from.Name) + " WHERE " + entry.Warn)
		if err != nil {
			return err
		}
		if n > 0 {
			p.Warnings.Add("%s: %s in %d rows; it is not carried over (%s)", entry.Name, entry.Warn, n, entry.Skip)
		}
	}
	return nil
}
