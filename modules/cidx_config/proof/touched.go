package proof

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/problem"
)

// shownChanges bounds the entries of a part that are named one by one.
const shownChanges = 50

// untouched proves that the standalone trees are as they were copied: every file
// and every folder. A process whose working folder is inside goes on writing
// there when the tree has been renamed, and nowhere else when it is linked.
func untouched(ctx context.Context, c home.Common, f cutover.Found) error {
	owners, err := mirror.Writers()
	if err != nil {
		return err
	}
	var looks []func() error
	look := func(part, path, now string) {
		looks = append(looks, func() error { return sinceCopy(ctx, c, owners, part, path, now) })
	}
	for _, t := range f.Trees {
		if t.State == home.LinkInPlace && !t.Kept {
			continue // the server has had it on the share from the beginning
		}
		now, err := cutover.Look(t.Tree)
		if err != nil {
			return err
		}
		at := t.Link
		if now.Kept {
			at = t.Aside()
		}
		look(t.Name, t.Link, at)
		if t.Name == cidx.GoldenRepos && f.Layout.Kind == "real" {
			const inside = ".versioned"
			look(cidx.Versioned, filepath.Join(t.Link, inside), filepath.Join(at, inside))
		}
	}
	found := make([]error, len(looks))
	var all sync.WaitGroup
	for i := range looks {
		all.Go(func() { found[i] = looks[i]() })
	}
	all.Wait()
	var problems problem.List
	for _, err := range found {
		problems.Add(err)
	}
	return problems.Err()
}

// sinceCopy compares one part of the copy with the folder that it is of. The
// problems name its path as it is without a cut-over.
func sinceCopy(ctx context.Context, c home.Common, owners *mirror.Owners, part, path, now string) error {
	m, err := manifest.Open(c.State().Manifest(part))
	if err != nil {
		return err
	}
	changes, err := m.Changes(ctx, now, owners.Adopt)
	if err != nil {
		return problem.Problem{What: "compare with the copy: " + err.Error(), At: path,
			Fix: "make it readable for the server's user, then " + again}
	}
	var problems problem.List
	for _, c := range changes[:min(len(changes), shownChanges)] {
		problems = append(problems, problem.Problem{What: c.What + " since the copy", At: filepath.Join(path, c.Path), Fix: again})
	}
	if more := len(changes) - shownChanges; more > 0 {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("%d more entries have changed since the copy", more), At: path, Fix: again,
		})
	}
	return problems.Err()
}
