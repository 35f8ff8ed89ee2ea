package config

import (
	"context"
	"fmt"
	"path/filepath"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
)

// shownTouched bounds the folders that are named one by one.
const shownTouched = 10

// untouched proves that nobody has made, renamed or removed a name in the
// standalone trees since they were copied, as git and CIDX do with whatever they
// write. A process whose working folder is inside goes on writing there when the
// tree has been renamed. Whether the copy is complete the file step proves.
func (c *cutover) untouched(ctx context.Context, found situation) error {
	var problems problem.List
	for _, t := range found.trees {
		if t.state == home.LinkInPlace && !t.aside {
			continue // the server has had it on the share from the beginning
		}
		now, err := look(t.Tree)
		if err != nil {
			return err
		}
		at := t.Link
		if now.aside {
			at = t.Aside()
		}
		problems.Add(c.sinceCopy(ctx, t.Name, t.Link, at))
		if t.Name == cidx.GoldenRepos && found.layout.Kind == "real" {
			const inside = ".versioned"
			problems.Add(c.sinceCopy(ctx, cidx.Versioned, filepath.Join(t.Link, inside), filepath.Join(at, inside)))
		}
	}
	return problems.Err()
}

// sinceCopy compares one part of the copy with the folder that it is of. The
// problems name its path as it is without a cut-over.
func (c *cutover) sinceCopy(ctx context.Context, part, path, now string) error {
	m, err := manifest.Open(c.State().Manifest(part))
	if err != nil {
		return err
	}
	touched, err := m.Touched(ctx, now)
	if err != nil {
		return problem.Problem{What: "compare with the copy: " + err.Error(), At: path, Fix: "make the folder readable for the server's user, then " + again}
	}
	var problems problem.List
	for _, rel := range touched[:min(len(touched), shownTouched)] {
		problems = append(problems, problem.Problem{What: "written to since the copy, so the cluster would be without it", At: filepath.Join(path, rel), Fix: again})
	}
	if more := len(touched) - shownTouched; more > 0 {
		problems = append(problems, problem.Problem{What: fmt.Sprintf("%d more folders were written to since the copy", more), At: path, Fix: again})
	}
	return problems.Err()
}
