package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/git"
	"cidx-cluster/modules/internal/problem"
)

// gitCheck is the outcome for one base clone.
type gitCheck struct {
	Repository string `json:"repository"`
	OK         bool   `json:"ok"`
	Detail     string `json:"detail,omitempty"`
	warning    string
}

// clones are the base clones of a job that git is asked about.
func (c *step) clones(j *job) []string {
	clones := slices.Sorted(slices.Values(j.seen().clones))
	if !c.args.Fsck || j.part.Name != cidx.GoldenRepos || len(clones) == 0 {
		return nil
	}
	if !git.Installed() {
		j.Result.Warn("git is not installed: the copied clones were compared byte by byte, but not checked with git fsck")
		return nil
	}
	return clones
}

// checkGit proves of each base clone that every object that its refs need is in
// the copy, and that the refs are the source's. Clones that were checked before
// and have not changed since are left alone. While the server runs a failure
// only means that the delta pass checks again.
func (c *step) checkGit(ctx context.Context, j *job) error {
	clones := c.clones(j)
	if len(clones) == 0 {
		return nil
	}
	var mu sync.Mutex
	var problems problem.List
	all, working := errgroup.WithContext(ctx)
	all.SetLimit(runtime.NumCPU())
	now := map[string]string{}
	for _, repo := range clones {
		if text, ok := j.Checked[repo]; ok && !j.Touched(repo) {
			mu.Lock()
			now[repo] = text
			mu.Unlock()
			continue
		}
		all.Go(func() error {
			checked, err := c.checkClone(working, j.part, repo)
			mu.Lock()
			defer mu.Unlock()
			if j.git = append(j.git, checked); checked.OK {
				now[repo] = checked.warning
			}
			problems.Add(err)
			c.Meter.Moved()
			return working.Err()
		})
	}
	err := all.Wait()
	j.Checked = now
	for _, repo := range slices.Sorted(maps.Keys(now)) {
		if now[repo] != "" {
			j.Result.Warn(now[repo])
		}
	}
	if c.Live {
		problems = nil
	}
	return errors.Join(err, problems.Err())
}

// checkClone compares a copied clone with its source. One that git must not read
// at the source (git.Unusual) is compared byte by byte only, and told.
func (c *step) checkClone(ctx context.Context, p *part, repo string) (g gitCheck, err error) {
	source, target := filepath.Join(p.Source, repo), filepath.Join(p.Target, repo)
	g.Repository = repo
	clone, err := c.look(ctx, p.Source, repo)
	if unusual, ok := git.IsUnusual(err); ok {
		g.OK, g.Detail, g.warning = true, "not checked: "+unusual.Error(), unchecked(source, unusual)
		return g, nil
	}
	if err != nil {
		return g, fmt.Errorf("look at clone %s: %w", source, err)
	}
	defer clone.Close()
	fix := "run again with cidx_files_compare=all"
	if copied, err := c.look(ctx, p.Target, repo); err != nil {
		g.Detail = "the copy is not readable: " + err.Error()
	} else {
		defer copied.Close()
		found := git.Compare(ctx, clone, copied)
		g.OK, g.Detail = found.OK, found.Detail
		if found.Faults != "" {
			g.warning = fmt.Sprintf("%s: git fsck finds faults that the source has, too: %s", source, found.Faults)
		}
		fix += "; compare with git fsck in " + source
	}
	if g.OK {
		return g, nil
	}
	return g, problem.Problem{What: g.Detail, At: target, Fix: fix}
}

// look prepares a clone for git, which may borrow objects from the moved folders.
func (c *step) look(ctx context.Context, tree, repo string) (*git.Clone, error) {
	var folders []string
	for from, to := range c.moves {
		folders = append(folders, from, to)
	}
	return git.Look(ctx, tree, repo, folders...)
}

func unchecked(clone string, why git.Unusual) string {
	return fmt.Sprintf("%s: %s: compared byte by byte, but not checked with git fsck", clone, why.Error())
}

// uncheckedClones tells before the copy which clones git will not be asked about.
func (c *step) uncheckedClones(ctx context.Context) {
	for _, j := range c.jobs {
		for _, repo := range c.clones(j) {
			clone, err := c.look(ctx, j.part.Source, repo)
			if unusual, ok := git.IsUnusual(err); ok {
				j.Result.Warn(unchecked(filepath.Join(j.part.Source, repo), unusual))
			}
			if err == nil {
				clone.Close()
			}
		}
	}
}
