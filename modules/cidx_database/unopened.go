package database

import (
	"fmt"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/problem"
)

// unopened are the encrypted values of a column that no key opens.
type unopened struct {
	t      *table
	column *column
	reason string // e.g. "no known key opens encrypted_token of"
	fix    string
	count  int
	first  []string // names of the first rows
}

// examples is how many rows a problem names; all are in problems.jsonl.
const examples = 5

// note keeps a row of u: the first ones for the problem, all in the list.
func (f *finds) note(u *unopened, id int64, key string) error {
	if u.count++; len(u.first) < examples {
		u.first = append(u.first, key)
	}
	return f.line(problemsFile, find{Table: u.t.Name, File: u.t.File, Row: id, Key: key, Column: u.column.Name, Reason: u.reason + " the row", Fix: u.fix})
}

// rows says which rows, after "of".
func (u *unopened) rows() string {
	switch {
	case u.count == 1:
		return "row " + u.first[0]
	case u.count <= len(u.first):
		return fmt.Sprintf("%d rows: %s", u.count, strings.Join(u.first, "; "))
	}
	return fmt.Sprintf("%d rows: %s; and %d more", u.count, strings.Join(u.first, "; "), u.count-len(u.first))
}

// problem is what is told of u, nil if there is nothing.
func (r *runner) problem(u *unopened) error {
	if u.count == 0 {
		return nil
	}
	p := problem.Problem{What: u.reason + " " + u.rows(), At: u.t.at(), Fix: u.fix}
	if u.count > len(u.first) && r.finds.dir != "" {
		p.What += " (all: " + filepath.Join(r.finds.dir, problemsFile) + ")"
	}
	return p
}

// withoutSalt is the problem of tokens that would need the salt file.
func (r *runner) withoutSalt(list []*unopened) error {
	var parts []string
	for _, u := range list {
		parts = append(parts, fmt.Sprintf("%s of %s of %s", u.column.Name, u.t.at(), u.rows()))
	}
	what := "the salt file is missing, and no other known key opens " + strings.Join(parts, ", ")
	if r.finds.dir != "" {
		what += " (all: " + filepath.Join(r.finds.dir, problemsFile) + ")"
	}
	return problem.Problem{What: what, At: filepath.Join(r.args.Home, saltFile),
		Fix: "restore the file from a backup; if this server never had one, name its former host names in cidx_database_old_host_names; or let the owners store the tokens again"}
}
