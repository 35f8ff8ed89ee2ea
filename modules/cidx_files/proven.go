package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/problem"
)

// fixAgain is the way on where the source has changed since it was copied.
const fixAgain = "find out who writes there although the server is stopped (lsof, fuser), " +
	"and run cluster-migrate.yml again: it takes it along"

// prove compares the source with what was copied of it, and writes nothing. What
// is new, changed or gone is a problem each. It does not matter whether the
// cut-over has renamed the trees already.
func (c *step) prove(ctx context.Context) (ansible.Reply, error) {
	inPlace, err := c.inPlace(false)
	if err != nil {
		return ansible.Reply{}, err
	}
	linked := c.layout // as it was when it was copied
	linked.Trees = slices.Clone(linked.Trees)
	for i, t := range linked.Trees {
		linked.Trees[i].Local = t.Link
	}
	before := c.partsOf(linked, c.args.Parts)
	r := ansible.Reply{Data: map[string]any{"phase": phaseProven}, Skipped: "the repositories are on the share already"}
	var problems problem.List
	err = c.Run(ctx, func(ctx context.Context) error {
		for i, p := range c.partsOf(c.layout, c.args.Parts) {
			if inPlace[p.tree(p.Target)] {
				continue
			}
			r.Skipped = ""
			found, err := c.provePart(ctx, p, before[i].Source)
			if problems = append(problems, found...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return ansible.Reply{}, err
	}
	if len(problems) > listed {
		problems = c.abridged(problems)
	}
	return r, problems.Err()
}

// provePart tells what is not on the share as the source has it.
func (c *step) provePart(ctx context.Context, p *part, was string) (problems problem.List, err error) {
	proof, err := c.Prove(ctx, &p.Part, was)
	add := func(what, path, fix string) {
		problems = append(problems, problem.Problem{What: what, At: filepath.Join(p.Source, path), Fix: fix})
	}
	switch {
	case err != nil:
		return nil, err
	case !proof.Copied:
		add("was not copied to "+p.Target, "", "run cluster-migrate.yml again")
	case !proof.Complete:
		add("the copy to "+p.Target+" was interrupted", "", "run cluster-migrate.yml again: it continues")
	}
	for _, u := range proof.Unreadable {
		add("unreadable: "+u.Why, u.Path, "make it readable, or check the disk, and run cluster-migrate.yml again")
	}
	for _, e := range proof.Changed {
		add(e.Why+" since the copy", e.Path, fixAgain)
	}
	slices.SortStableFunc(problems, func(a, b problem.Problem) int { return strings.Compare(a.At, b.At) })
	return problems, nil
}

// abridged are the first problems of very many, and where all of them stand.
func (c *step) abridged(problems problem.List) problem.List {
	var all []line
	for _, p := range problems {
		all = append(all, line{p.What, p.At, ""})
	}
	rest := problem.Problem{What: fmt.Sprintf("%d entries in all have changed since the copy", len(all)), Fix: fixAgain}
	path, err := c.writeList("changed-since-the-copy", all)
	rest.At = path
	if err != nil {
		rest.What += ", and their list could not be kept: " + err.Error()
	}
	return append(slices.Clone(problems[:listed]), rest)
}
