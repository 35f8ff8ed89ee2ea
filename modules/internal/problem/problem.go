// Package problem is what an operator can act on: what is wrong, where, and the
// way out.
package problem

import (
	"errors"
	"strings"

	"cidx-cluster/modules/internal/printable"
)

// Problem is something an operator can act on.
type Problem struct {
	What string `json:"what"` // what is wrong, with the offending value quoted
	At   string `json:"at"`   // where: a path, table.column, URL, unit
	Fix  string `json:"fix"`  // the way out, as an order
}

// Error renders the problem in one line, whatever is in the names and answers that
// it quotes.
func (p Problem) Error() string {
	var b strings.Builder
	if p.At != "" {
		b.WriteString(p.At + ": ")
	}
	b.WriteString(p.What)
	if p.Fix != "" {
		b.WriteString(" (fix: " + p.Fix + ")")
	}
	return printable.Line(b.String())
}

// List is everything one step found at once. An empty list is no error:
// return it through Err.
type List []Problem

// Error renders one problem a line.
func (ps List) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns nil for an empty list, the list itself otherwise.
func (ps List) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Add appends err's problems, or err itself as a problem without a fix.
// A nil error adds nothing.
func (ps *List) Add(err error) {
	if err != nil {
		*ps = append(*ps, Of(err)...)
	}
}

// Of returns the problems that err wraps; an error that wraps none
// becomes one problem with its text as What.
func Of(err error) List {
	if err == nil {
		return nil
	}
	var list List
	if errors.As(err, &list) {
		return list
	}
	var one Problem
	if errors.As(err, &one) {
		return List{one}
	}
	return List{{What: err.Error()}}
}
