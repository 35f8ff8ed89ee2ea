package database

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/sqlite"
)

// unknownTables finds tables with rows that the catalogue does not name.
func (p planner) unknownTables(known map[string]bool) error {
	var problems problem.List
	for file, tables := range p.source.tables {
		for _, from := range tables {
			if known[from.Name] || known[strings.ToLower(from.Name)] {
				problems.Add(p.misplaced(file, from))
				continue
			}
			t := &table{Table: cidx.Table{Name: from.Name, File: file}, conn: p.source.files[file], from: from}
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
	t := &table{Table: cidx.Table{Name: from.Name, File: file}, conn: p.source.files[file], from: from}
	if n, err := t.count(); n == 0 || err != nil {
		return err // activated_repos has an empty table beside its files
	}
	return p.leftBehind(t, "rows in a table that CIDX keeps in "+entry.File)
}

func (p planner) leftBehind(t *table, why string) error {
	return p.leaveBehind(t, why, why, "find out what the table is for; add "+t.Name+" to cidx_database_accept to leave it behind")
}

// unknownFiles finds databases of the home that nobody has named.
func (p planner) unknownFiles() error {
	var problems problem.List
	for _, pattern := range []string{"*.db", "data/*.db"} {
		matches, err := filepath.Glob(filepath.Join(globEscape(p.args.Home), pattern))
		if err != nil {
			return fmt.Errorf("list databases: %w", err)
		}
		for _, path := range matches {
			rel, _ := filepath.Rel(p.args.Home, path)
			known := slices.ContainsFunc(cidx.DatabaseFiles(), func(f cidx.DatabaseFile) bool { return f.Path == rel })
			if info, err := os.Stat(path); known || err != nil || info.Size() == 0 {
				continue
			}
			if p.accepted(rel) {
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
	for _, from := range p.source.tables[entry.File] {
		if from.Name != entry.Name {
			continue
		}
		t := &table{Table: entry, conn: p.source.files[entry.File], from: from}
		n, err := t.number("SELECT count(*) FROM " + sqlite.Quote(from.Name) + " WHERE " + entry.Warn)
		if err != nil {
			return err
		}
		if n > 0 {
			p.warnings.add("%s: %s in %d rows; it is not carried over (%s)", entry.Name, entry.Warn, n, entry.Skip)
		}
	}
	return nil
}
