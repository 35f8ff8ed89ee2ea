package ansible

import (
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// This is where text of others (names of files, rows, answers of servers, words
// of programs) leaves the helper: in replies and in events. No character in it
// may command a terminal or begin a line; see package printable.

// severalLines are the keys of a reply that hold texts of several lines, all
// composed by us. Values of others in them went through printable.Line before
// (problem.Problem.Error does that), or are content that is shown as such.
var severalLines = map[string]bool{"msg": true, "diff": true, "html": true}

// each makes every value of a reply printable, not the names of its own keys: a
// password that happens to be "changed" must not break the protocol. Secrets are
// hidden before: an escape would hide them from the keeper.
func each(reply map[string]any, keeper *secret.Keeper) map[string]any {
	out := make(map[string]any, len(reply))
	for name, v := range reply {
		show := printable.Line
		if severalLines[name] {
			show = printable.Text
		}
		out[name] = printable.Each(v, func(s string) string { return show(keeper.Hide(s)) })
	}
	return out
}

// again is each for a reply that is JSON already.
func again(raw []byte) []byte {
	tree, err := object(raw)
	if err != nil {
		return refusal(fmt.Errorf("read reply: %w", err))
	}
	return mask(tree, secret.New())
}

// titled makes the headers of differences printable in one line; what differs has
// lines, before which Ansible sets a sign.
func titled(list []Diff) []Diff {
	out := make([]Diff, len(list))
	for i, d := range list {
		d.BeforeHeader, d.AfterHeader = printable.Line(d.BeforeHeader), printable.Line(d.AfterHeader)
		out[i] = d
	}
	return out
}

// crash is the end of a module by a fault of ours: its stack has lines.
type crash struct {
	cause string
	stack string
}

// Error is the cause, then the stack.
func (c crash) Error() string {
	cause, more, _ := strings.Cut(c.cause, "\n") // more: the stack of another goroutine
	return printable.Line(cause) + "\n" + more + c.stack
}

// problemsOf is problem.Of, with a crash in one line.
func problemsOf(err error) problem.List {
	if c, ok := err.(crash); ok {
		cause, _, _ := strings.Cut(c.cause, "\n")
		return problem.List{{What: cause}}
	}
	return problem.Of(err)
}
