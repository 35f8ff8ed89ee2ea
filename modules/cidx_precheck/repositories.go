package precheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/obstacle"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
	"cidx-cluster/modules/internal/repath"
)

// aliases checks that every file in the folder of aliases can be read.
func (e *examiner) aliases(layout home.Layout) problem.List {
	golden, ok := layout.Tree(cidx.GoldenRepos)
	if !ok {
		return nil
	}
	files, err := home.AliasFiles(golden.Local)
	problems := e.found.untold(err)
	for _, f := range files {
		if f.Fault == nil || filepath.Dir(f.Rel) != "aliases" && layout.Kind != "assumed" || strings.HasPrefix(f.Name, ".") {
			continue
		}
		problems.Add(e.noAlias(filepath.Join(golden.Local, f.Rel), f))
	}
	return problems
}

// noAlias judges what lies where alias files lie and is none.
func (e *examiner) noAlias(path string, f home.AliasFile) error {
	switch {
	case errors.Is(f.Fault, home.ErrNoTarget):
		if filepath.Dir(f.Rel) == "aliases" {
			e.warn("%s has no target_path: it is no alias, and stays as it is", path)
		}
		return nil
	case errors.Is(f.Fault, regular.ErrNot):
		e.warn("%s is no file: it is no alias, and stays as it is", path)
		return nil
	case errors.Is(f.Fault, fs.ErrPermission):
		return nil // e.closed tells
	case f.Raw == nil:
		return f.Unreadable(path)
	}
	return wrong(f.Fault.Error(), path,
		"restore the alias file, or remove it: CIDX makes a new one at its start for a repository that has none")
}

// most problems of one kind that are listed one by one.
const most = 20

// registry checks that every registered repository has its files: the
// reconciler of a cluster node deletes rows whose files it does not find, as
// that of a standalone server does.
func (e *examiner) registry(ctx context.Context, layout home.Layout) problem.List {
	if _, err := os.Stat(cidx.ServerDatabase(e.Home)); err != nil {
		return nil // told already
	}
	if len(e.found.closed) > 0 {
		return nil // the database may be what cannot be read
	}
	lost, err := e.lost(ctx, layout)
	if err == nil && len(lost) > 0 {
		// The server may be adding or removing one just now; what is real stays.
		lost, err = e.lost(ctx, layout)
	}
	if err != nil {
		return problem.Of(err)
	}
	var problems problem.List
	for i, r := range lost {
		if i == most {
			more := fmt.Sprintf("%d more registered repositories have no files", len(lost)-most)
			return append(problems, wrong(more, cidx.ServerDatabase(e.Home), "as above"))
		}
		if to, err := os.Readlink(filepath.Clean(r.ClonePath)); err == nil { // rather than "restore it"
			problems = append(problems, obstacle.Link(filepath.Clean(r.ClonePath), to))
			continue
		}
		problems.Add(wrong("repository "+r.Alias+" is registered, but has no files", r.ClonePath,
			"restore its folder, or remove the repository in CIDX; a cluster node would delete it at its start"))
	}
	return problems
}

// lost lists the repositories that CIDX would not find.
func (e *examiner) lost(ctx context.Context, layout home.Layout) ([]home.Repo, error) {
	known, err := e.Registry(ctx)
	if err != nil {
		return nil, err
	}
	e.found.jobs = known.Jobs
	golden, _ := layout.Tree(cidx.GoldenRepos)
	moves := map[string]string{}
	if golden.Moved() {
		moves[golden.Link] = golden.Local
	}
	inside, snapshots := realPath(golden.Local), realPath(filepath.Join(golden.Local, ".versioned")) // which may be links
	var lost []home.Repo
	for _, r := range known.Repos {
		real, err := filepath.EvalSymlinks(repath.Rewrite(r.ClonePath, moves))
		if err == nil && (repath.Within(real, inside) || repath.Within(real, snapshots)) {
			continue
		}
		if entries, _ := os.ReadDir(filepath.Join(golden.Local, ".versioned", r.Alias)); err != nil && len(entries) > 0 {
			continue // CIDX falls back to the newest snapshot
		}
		lost = append(lost, r)
	}
	return lost, nil
}

func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
