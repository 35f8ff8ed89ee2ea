package verify

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/cidx_verify/search"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/share"
)

// parallel is how many searches run at once.
const parallel = 4

// repositories compares lists and asks every repository.
func (v *verification) repositories(ctx context.Context, entries []entry) error {
	missing, err := v.compareLists(ctx, entries)
	if err != nil {
		v.failed(ctx, "Repositories", cidxapi.Short(err))
		return err
	}
	if err := v.shareAnswers(ctx); err != nil {
		v.failed(ctx, "Repositories", "the share does not answer")
		return err
	}
	results := v.askAll(ctx, entries)
	if ctx.Err() != nil {
		return fmt.Errorf("query repositories: %w", context.Cause(ctx))
	}
	return v.judge(ctx, results, missing)
}

// shareAnswers proves that looking at files on the share will not hang.
func (v *verification) shareAnswers(ctx context.Context) error {
	if v.args.Mode != "cluster" {
		return nil
	}
	mount, err := v.args.MountPoint(v.config)
	if err != nil {
		return err
	}
	return share.Alive(ctx, mount, share.Deadline)
}

// compareLists names the repositories of the registry that the API leaves out:
// by their alias, the lists in which they are missing.
func (v *verification) compareLists(ctx context.Context, entries []entry) (map[string]problem.Problem, error) {
	goldens, err := v.api.GoldenRepos(ctx)
	if err != nil {
		return nil, err
	}
	globals, err := v.api.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	inAdmin, inMCP := map[string]bool{}, map[string]bool{}
	for _, g := range goldens {
		inAdmin[g.Alias] = true
	}
	for _, g := range globals {
		if g.Global {
			inMCP[g.Alias] = true
		}
	}
	missing := map[string]problem.Problem{}
	for _, e := range entries {
		const fix = "look for its name in the server's log; CIDX only logs what it cannot load into a list"
		if e.Global != "" && !inMCP[e.Global] {
			missing[e.name()] = problem.Problem{What: "is in the registry, but list_repositories leaves it out", At: e.name(),
				Fix: fix + ", and give cidx_api_user an account that may see every repository"}
		}
		if e.Golden != "" && !inAdmin[e.Golden] {
			missing[e.name()] = problem.Problem{What: "is in the registry, but GET /api/admin/golden-repos leaves it out", At: e.name(),
				Fix: fix}
		}
	}
	return missing, nil
}

// askAll searches every repository, several at a time, in the entries' order.
func (v *verification) askAll(ctx context.Context, entries []entry) []search.Result {
	asker := search.Asker{API: v.api, Folders: v.folders(), Queries: v.args.Queries, Before: v.known}
	results := make([]search.Result, len(entries))
	var done atomic.Int64
	var all errgroup.Group
	all.SetLimit(parallel)
	for i, e := range entries {
		all.Go(func() error {
			if ctx.Err() != nil {
				return nil // the caller sees it
			}
			progress.Report(ctx, progress.Status{What: "query test", Done: done.Load(), Total: int64(len(entries)), Unit: "repositories"})
			results[i] = v.search(ctx, asker, e)
			done.Add(1)
			return nil
		})
	}
	_ = all.Wait() // what fails stands in its result
	return results
}

// search asks for one repository where its files are.
func (v *verification) search(ctx context.Context, asker search.Asker, e entry) search.Result {
	r := search.Result{Alias: e.name(), Golden: e.Golden}
	target, err := v.target(e)
	switch {
	case err != nil:
		r.Refuse(err.Error(), "find the repository's files and copy them to the share, then run the same playbook again; "+
			"or remove the repository in CIDX")
	case e.Global == "":
		r.Accessible, r.Mode = true, "files"
		r.Warning = fmt.Sprintf("%s: has no global alias, so it cannot be searched; its files are at %s", e.Golden, target)
	default:
		return asker.Ask(ctx, e.Global, e.Golden, target)
	}
	return r
}

// folders are those that hold repositories. Snapshots may lie on another disk,
// behind a link: in a folder that belongs to the owner of the home.
func (v *verification) folders() []string {
	var list []string
	for _, t := range v.layout.Trees {
		list = append(list, t.Link, t.Local, t.Target)
		if snapshots := filepath.Join(t.Link, ".versioned"); sameOwner(v.args.Home, snapshots) {
			list = append(list, snapshots)
		}
	}
	return list
}

func sameOwner(a, b string) bool {
	var one, other unix.Stat_t
	return unix.Stat(a, &one) == nil && unix.Stat(b, &other) == nil && one.Uid == other.Uid
}

// judge fills the reply and gathers every problem.
func (v *verification) judge(ctx context.Context, results []search.Result, missing map[string]problem.Problem) error {
	var problems problem.List
	accessible, without, hits, excused := 0, 0, 0, 0
	for i := range results {
		r := &results[i]
		if r.Problem != nil {
			without++
			problems = append(problems, *r.Problem)
		}
		if p, ok := missing[r.Alias]; ok {
			r.Accessible = false
			problems = append(problems, p)
		}
		if r.Accessible {
			accessible++
		}
		hits += r.Hits
		if r.Excused {
			excused++
		}
		if r.Warning != "" {
			v.warn("%s", r.Warning)
		}
	}
	v.reply.Data["repositories"], v.reply.Data["accessible"], v.reply.Data["total"] = results, accessible, len(results)
	v.tellRepositories(ctx, accessible, len(results))
	switch {
	case without > 0:
		v.failed(ctx, "Query test", fmt.Sprintf("%d of %d repositories give no results", without, len(results)))
	case hits == 0 && len(results) > excused:
		v.failed(ctx, "Query test", "no search returned a result")
		problems = append(problems, problem.Problem{What: "no search returned a result", At: v.api.Base(),
			Fix: "see the server's log; set cidx_verify_queries to words that are in the repositories"})
	case len(results) == 0:
		v.passed(ctx, "Query test", "there is no repository to search")
	case hits == 0:
		v.passed(ctx, "Query test", "search_code answers; no repository has anything to find")
	default:
		v.passed(ctx, "Query test", "search_code returned results")
	}
	return problems.Err()
}

// tellRepositories is the line that the count of repositories stands in.
func (v *verification) tellRepositories(ctx context.Context, accessible, total int) {
	detail := fmt.Sprintf("%d/%d accessible", accessible, total)
	progress.Line(ctx, "  Repositories: %s", detail)
	v.reply.Checks = append(v.reply.Checks, ansible.Check{Name: "Repositories", OK: accessible == total, Detail: detail})
}
