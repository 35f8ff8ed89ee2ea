package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// fixAgain is the way on where the source has changed since it was copied.
const fixAgain = "find out who writes there although the server is stopped (lsof, fuser), and run cluster-migrate.yml again: it takes it along"

// prove compares the source with what was copied of it, as the delta pass looks
// for work, and writes nothing. What is new, changed or gone is a problem each;
// of a folder that came or went as a whole only the folder. It does not matter
// whether the cut-over has renamed the trees already.
func (c *copier) prove(ctx context.Context) (ansible.Reply, error) {
	c.meter = newMeter(ctx, "files", 0, 0)
	defer c.meter.end()
	var problems problem.List
	var list []copiedPart
	err := c.watched(ctx, func(ctx context.Context) (err error) {
		list, err = c.copied()
		for _, p := range list {
			if err == nil {
				err = c.provePart(ctx, p, &problems)
			}
		}
		return err
	})
	if err != nil {
		return ansible.Reply{}, err
	}
	r := ansible.Reply{Data: map[string]any{"phase": phaseProven}}
	if len(list) == 0 {
		r.Skipped = "the repositories are on the share already"
	}
	if len(problems) > listed {
		problems = c.abridged(problems)
	}
	return r, problems.Err()
}

// abridged are the first problems of very many, and where all of them stand.
func (c *copier) abridged(problems problem.List) problem.List {
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

// locate finds the share and the layout; it needs neither to answer.
func (c *copier) locate(ctx context.Context) (err error) {
	config, err := c.args.ClusterConfig(ctx)
	if err != nil && c.args.Share == "" {
		return err
	}
	if c.share, err = c.args.MountPoint(config); err != nil {
		return err
	}
	if c.layout, err = home.Detect(c.args.Home, c.share); err != nil {
		return err
	}
	c.moves = c.layout.Moves(config)
	return nil
}

// copiedPart is a part with the path that its source had when it was copied.
type copiedPart struct {
	*part
	was string
}

// copied lists the parts that have to have been copied: all but those that the
// server has had on the share from the beginning.
func (c *copier) copied() (list []copiedPart, err error) {
	linked := c.layout
	linked.Trees = slices.Clone(linked.Trees)
	inPlace := map[string]bool{}
	for i, t := range linked.Trees {
		linked.Trees[i].Local = t.Link
		if t.Moved() {
			continue
		}
		state, err := t.LinkState()
		if err != nil {
			return nil, err
		}
		inPlace[t.Target] = state == home.LinkInPlace
	}
	before := partsOf(linked, c.args.Parts)
	own, err := writers()
	if err != nil {
		return nil, err
	}
	for i, p := range partsOf(c.layout, c.args.Parts) {
		at := p.target
		if p.inside {
			at = filepath.Dir(at)
		}
		if p.owners = own; !inPlace[at] {
			list = append(list, copiedPart{p, before[i].source})
		}
	}
	return list, nil
}

// provePart adds what is not on the share as the source has it.
func (c *copier) provePart(ctx context.Context, p copiedPart, problems *problem.List) error {
	m, err := readMeta(c.args.State(), p.name)
	if err != nil {
		return err
	}
	j := &job{part: p.part, meta: m, result: &result{}}
	if j.manifest, err = manifest.Open(c.args.State().Manifest(p.name)); err != nil {
		return err
	}
	if m.Source != p.was || m.Target != p.target {
		j.manifest = manifest.New()
	}
	dir := c.args.State().Files()
	if _, err := os.Stat(dir); err != nil { // nothing was ever copied
		dir = os.TempDir()
	}
	if j.scan, err = look(ctx, p.part, j.manifest, criteria{want: manifest.Copied, dir: dir}); err != nil {
		return err
	}
	switch {
	case j.manifest.Len() == 0 && j.scan.census.Folders > 0:
		*problems = append(*problems, problem.Problem{What: "was not copied to " + p.target, At: p.source, Fix: "run cluster-migrate.yml again"})
	case m.Open && j.scan.census.Folders > 0:
		*problems = append(*problems, problem.Problem{What: "the copy to " + p.target + " was interrupted", At: p.source, Fix: "run cluster-migrate.yml again: it continues"})
	default:
		all, err := j.unproven()
		*problems = append(*problems, all...)
		return err
	}
	return nil
}

// unproven are the entries of the source that differ from what was copied.
func (j *job) unproven() (problems problem.List, err error) {
	tell := func(path, what string) {
		problems = append(problems, problem.Problem{What: what + " since the copy", At: filepath.Join(j.part.source, path), Fix: fixAgain})
	}
	for _, u := range j.scan.census.unreadable {
		problems = append(problems, problem.Problem{What: "unreadable: " + u.Why, At: filepath.Join(j.part.source, u.Path), Fix: "make it readable, or check the disk, and run cluster-migrate.yml again"})
	}
	for f, err := range j.scan.plan.folders() {
		if err != nil {
			return problems, err
		}
		parent, _ := tree.Parent(f.path)
		switch known := j.manifest.Group(f.path); {
		case known != nil:
			for _, c := range f.changes(known) {
				tell(c.Path, c.Why)
			}
		case f.path == "" || j.manifest.Group(parent) != nil:
			tell(f.path, "new")
		}
	}
	gone := map[string]bool{}
	for _, path := range j.scan.gone { // a folder comes before those in it
		gone[path] = true
		if parent, _ := tree.Parent(path); path == "" || !gone[parent] {
			tell(path, "gone")
		}
	}
	slices.SortFunc(problems, func(a, b problem.Problem) int { return strings.Compare(a.At, b.At) })
	return problems, nil
}

// changes are the entries of a folder that are not as they were copied; the
// folder itself where none of them tells.
func (f *folder) changes(known *manifest.Group) (list []leftOut) {
	add := func(name, why string) { list = append(list, leftOut{Path: tree.Join(f.path, name), Why: why}) }
	old := decoded(f.path, known)
	now, err := f.now()
	if err != nil {
		return []leftOut{{Path: f.path, Why: "changed"}}
	}
	for i := range now.Entries {
		e := &now.Entries[i]
		k := old.Find(e.Name)
		switch {
		case k < 0 && !e.IsDir():
			add(e.Name, "new")
		case k >= 0 && !(e.IsDir() && old.Entries[k].IsDir()) && (!tree.SameSource(e, &old.Entries[k]) || !known.Settled(k)):
			add(e.Name, "changed")
		}
	}
	for i := range old.Entries {
		if e := &old.Entries[i]; now.Find(e.Name) < 0 && !e.IsDir() {
			add(e.Name, "gone")
		}
	}
	if len(list) == 0 && sameNames(old, now) {
		list = []leftOut{{Path: f.path, Why: "changed (mode, owner or time of the folder)"}}
	}
	return list
}

// sameNames reports whether two sightings of a folder have the same entries.
func sameNames(a, b *tree.Dir) bool {
	return slices.EqualFunc(a.Entries, b.Entries, func(x, y tree.Entry) bool { return x.Name == y.Name })
}
