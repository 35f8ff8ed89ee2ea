package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/git"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// gitCheck is the outcome for one base clone.
type gitCheck struct {
	Repository string `json:"repository"`
	OK         bool   `json:"ok"`
	Detail     string `json:"detail,omitempty"`
	warning    string
}

// checkGit proves of each base clone that every object that its refs need is in
// the copy, and that the refs are the source's. Clones that were checked before
// and have not changed since are left alone. While the server runs a failure
// only means that the delta pass checks again.
func (p *pass) checkGit(ctx context.Context, j *job) error {
	if !p.args.Fsck || p.part.name != cidx.GoldenRepos {
		return nil
	}
	if !git.Installed() {
		p.result.warn("git is not installed: the copied clones were compared byte by byte, but not checked with git fsck")
		return nil
	}
	var todo []string
	checked, said := map[string]bool{}, map[string]string{}
	for _, repo := range p.scan.census.clones {
		if j.meta.Git[repo] && !p.scan.touched(repo) {
			checked[repo], said[repo] = true, j.meta.GitTold[repo]
		} else {
			todo = append(todo, repo)
		}
	}
	slices.Sort(todo)
	var mu sync.Mutex
	var problems problem.List
	err := inParallel(ctx, runtime.NumCPU(), todo, func(ctx context.Context, repo string) error {
		c, err := p.checkClone(ctx, repo)
		mu.Lock()
		defer mu.Unlock()
		p.result.git = append(p.result.git, c)
		checked[repo], said[repo] = c.OK, c.warning
		problems.Add(err)
		p.meter.moved()
		return nil
	})
	j.meta.Git, j.meta.GitTold = checked, said
	for _, repo := range slices.Sorted(maps.Keys(said)) {
		if said[repo] == "" {
			delete(said, repo)
			continue
		}
		p.result.warn(said[repo])
	}
	if p.args.Phase == phaseWarm {
		problems = nil
	}
	return errors.Join(err, problems.Err())
}

// concernsGit reports whether there is work in a folder in what git fsck and the
// refs are read from: a fetch that brings nothing, and an index of CIDX's, are none.
func (s *scan) concernsGit(now, old *tree.Dir, known *manifest.Group) bool {
	repo := s.part.repository(now.Path)
	below, inside := strings.CutPrefix(now.Path, tree.Join(repo, ".git"))
	names := git.Reads()
	switch {
	case now.Path == repo:
		names = []string{".git"}
	case !inside || repo == "":
		return false
	case below != "":
		first, _, _ := strings.Cut(below[1:], "/")
		return slices.Contains(names, first)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		i, k := now.Find(name), old.Find(name)
		if i < 0 || k < 0 {
			return i != k
		}
		return !tree.SameSource(&now.Entries[i], &old.Entries[k]) || known.Flags[k+1]&s.want != s.want || !known.Settled(k)
	})
}

// touched reports whether there is work in a repository that its check concerns.
func (s *scan) touched(repo string) bool {
	return s.repos[repo] || slices.ContainsFunc(s.gone, func(path string) bool { return path == repo || strings.HasPrefix(path, repo+"/") })
}

// checkClone compares a copied clone with its source. One that git must not read
// at the source (git.Unusual) is compared byte by byte only, and told.
func (p *pass) checkClone(ctx context.Context, repo string) (gitCheck, error) {
	source, target := filepath.Join(p.part.source, repo), p.target.path(repo)
	c := gitCheck{Repository: repo}
	before, err := git.Look(ctx, p.part.source, repo, gitFolders(p.moves)...)
	if unusual, ok := git.IsUnusual(err); ok {
		c.OK, c.Detail, c.warning = true, "not checked: "+unusual.Error(), unchecked(source, unusual)
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("look at clone %s: %w", source, err)
	}
	defer before.Close()
	after, err := git.Look(ctx, p.target.root, repo, gitFolders(p.moves)...)
	if err != nil {
		c.Detail = "the copy is not readable: " + err.Error()
		return c, problem.Problem{What: c.Detail, At: target, Fix: "run again with cidx_files_compare=all"}
	}
	defer after.Close()
	return p.compareClones(ctx, c, before, after)
}

// compareClones asks git about source and copy.
func (p *pass) compareClones(ctx context.Context, c gitCheck, before, after *git.Clone) (gitCheck, error) {
	source, target := filepath.Join(p.part.source, c.Repository), p.target.path(c.Repository)
	out, err := after.Fsck(ctx)
	if err != nil {
		was, errBefore := before.Fsck(ctx)
		if errBefore != nil && was == out {
			c.OK, c.Detail = true, "as broken as at the source: "+firstLines(out, 2)
			c.warning = fmt.Sprintf("%s: git fsck finds faults that the source has, too: %s", source, firstLines(out, 2))
			return c, nil
		}
		c.Detail = firstLines(out, 3)
		return c, problem.Problem{What: "git fsck: " + c.Detail, At: target, Fix: "run again with cidx_files_compare=all; compare with git fsck in " + source}
	}
	was, errA := before.Refs(ctx)
	is, errB := after.Refs(ctx)
	switch {
	case errA != nil || errB != nil:
		c.Detail = "refs are not readable: " + firstLines(was+is, 2)
	case was != is:
		c.Detail = "refs differ: " + changedLine(is, was)
	default:
		c.OK = true
		return c, nil
	}
	return c, problem.Problem{What: c.Detail, At: target, Fix: "run again with cidx_files_compare=all"}
}

// changedLine is the first line of a that b has otherwise.
func changedLine(a, b string) string {
	other := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(other) || other[i] != line {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// gitFolders are those from which a clone may borrow objects.
func gitFolders(moves map[string]string) (folders []string) {
	for from, to := range moves {
		folders = append(folders, from, to)
	}
	return folders
}

func unchecked(clone string, why git.Unusual) string {
	return fmt.Sprintf("%s: %s: compared byte by byte, but not checked with git fsck", clone, why.Error())
}

// uncheckedClones tells before the copy which clones git will not be asked about.
func (c *copier) uncheckedClones(ctx context.Context) (warnings []string) {
	if !c.args.Fsck || !git.Installed() {
		return nil
	}
	for _, j := range c.jobs {
		if j.part.name != cidx.GoldenRepos {
			continue
		}
		for _, repo := range slices.Sorted(slices.Values(j.scan.census.clones)) {
			clone, err := git.Look(ctx, j.part.source, repo, gitFolders(c.moves)...)
			if unusual, ok := git.IsUnusual(err); ok {
				warnings = append(warnings, unchecked(filepath.Join(j.part.source, repo), unusual))
			}
			if err == nil {
				clone.Close()
			}
		}
	}
	return warnings
}
