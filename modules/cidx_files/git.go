package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/cidx"
)

// gitCheck is the outcome for one base clone.
type gitCheck struct {
	Repository string `json:"repository"`
	OK         bool   `json:"ok"`
	Detail     string `json:"detail,omitempty"`
}

// checkGit proves of each base clone that every object that its refs need is in
// the copy, and that the refs are the source's. Clones that were checked before
// and have not changed since are left alone. While the server runs a failure
// only means that the delta pass checks again.
func (p *pass) checkGit(ctx context.Context, j *job) error {
	if !p.args.Fsck || p.part.name != cidx.GoldenRepos {
		return nil
	}
	if _, err := exec.LookPath("git"); err != nil {
		p.result.warn("git is not installed: the copied clones were compared byte by byte, but not checked with git fsck")
		return nil
	}
	var todo []string
	checked := map[string]bool{}
	for _, repo := range p.scan.census.clones {
		if j.meta.Git[repo] && !p.touched(repo) {
			checked[repo] = true
		} else {
			todo = append(todo, repo)
		}
	}
	slices.Sort(todo)
	var mu sync.Mutex
	var problems cidx.Problems
	err := inParallel(ctx, max(1, p.workers/2), todo, func(ctx context.Context, repo string) error {
		c, err := p.checkClone(ctx, repo)
		mu.Lock()
		defer mu.Unlock()
		p.result.git = append(p.result.git, c)
		checked[repo] = c.OK
		problems.Add(err)
		p.meter.moved()
		return nil
	})
	j.meta.Git = checked
	if p.args.Phase == phaseWarm {
		problems = nil
	}
	return errors.Join(err, problems.Err())
}

// touched reports whether this pass has worked on a repository.
func (p *pass) touched(repo string) bool {
	inside := func(path string) bool { return path == repo || strings.HasPrefix(path, repo+"/") }
	return slices.ContainsFunc(p.scan.folders, func(f *folder) bool { return inside(f.path) }) ||
		slices.ContainsFunc(p.scan.gone, inside)
}

func (p *pass) checkClone(ctx context.Context, repo string) (gitCheck, error) {
	source, target := filepath.Join(p.part.source, repo), p.target.path(repo)
	c := gitCheck{Repository: repo}
	out, err := git(ctx, target, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
	if err != nil {
		before, errBefore := git(ctx, source, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
		if errBefore != nil && before == out {
			c.OK, c.Detail = true, "as broken as at the source: "+firstLines(out, 2)
			p.result.warn(fmt.Sprintf("%s: git fsck finds faults that the source has, too: %s", source, firstLines(out, 2)))
			return c, nil
		}
		c.Detail = firstLines(out, 3)
		return c, cidx.Problem{What: "git fsck: " + c.Detail, At: target, Fix: "run again with cidx_files_compare=all; compare with git fsck in " + source}
	}
	const format = "--format=%(refname) %(objectname) %(symref)"
	was, errA := git(ctx, source, "for-each-ref", format)
	is, errB := git(ctx, target, "for-each-ref", format)
	switch {
	case errA != nil || errB != nil:
		c.Detail = "refs are not readable: " + firstLines(was+is, 2)
	case was != is:
		c.Detail = "refs differ: " + changedLine([]byte(is), []byte(was))
	default:
		c.OK = true
		return c, nil
	}
	return c, cidx.Problem{What: c.Detail, At: target, Fix: "run again with cidx_files_compare=all"}
}

// git runs a reading command, so that it writes nowhere, fetches nothing and
// runs nothing that the repository configures. Paths are removed from the
// output: source and copy are compared by it.
func git(ctx context.Context, dir string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", arguments...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir),
		"GIT_CONFIG_COUNT=3",
		"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_CONFIG_KEY_1=core.fsmonitor", "GIT_CONFIG_VALUE_1=false",
		"GIT_CONFIG_KEY_2=core.hooksPath", "GIT_CONFIG_VALUE_2=/dev/null",
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(strings.ReplaceAll(out.String(), dir, ".")), err
}
