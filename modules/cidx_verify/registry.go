package verify

import (
	"context"
	"fmt"
	"sort"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
)

// entry is one repository that has to be there.
type entry struct {
	Golden   string   // alias of the golden repository; "" for a global one without
	Global   string   // alias to search, e.g. "billing-global"; "" where none exists
	Fallback []string // where CIDX looks when the alias file is unusable
}

// name is how messages call the repository.
func (e entry) name() string {
	if e.Global != "" {
		return e.Global
	}
	return e.Golden
}

// registryOf reads the cluster's registry.
func registryOf(ctx context.Context, conn *pgconn.PgConn) ([]entry, error) {
	known, err := home.ClusterRegistry(ctx, conn)
	if err != nil {
		return nil, err
	}
	byGolden := map[string]entry{}
	for _, r := range known.Repos {
		byGolden[r.Alias] = entry{Golden: r.Alias, Fallback: []string{r.ClonePath}}
	}
	var list []entry
	for _, g := range known.Globals {
		e := entry{Global: g.Alias, Fallback: []string{g.IndexPath}}
		if golden, ok := byGolden[g.Repo]; ok {
			e.Golden, e.Fallback = g.Repo, append(e.Fallback, golden.Fallback...)
			delete(byGolden, g.Repo)
		}
		list = append(list, e)
	}
	for _, e := range byGolden {
		list = append(list, e)
	}
	return sorted(list), nil
}

func sorted(list []entry) []entry {
	sort.Slice(list, func(i, j int) bool { return list[i].name() < list[j].name() })
	return list
}

// standaloneRegistry is the administrator's list joined with the alias files.
// The SQLite files are not opened: the server is running on them.
func (v *verification) standaloneRegistry(ctx context.Context) ([]entry, error) {
	goldens, err := v.api.GoldenRepos(ctx)
	if err != nil {
		return nil, err
	}
	byGolden := map[string]entry{}
	for _, g := range goldens {
		byGolden[g.Alias] = entry{Golden: g.Alias, Fallback: []string{g.ClonePath}}
	}
	tree, _ := v.layout.Tree(cidx.GoldenRepos)
	aliases, err := home.Aliases(tree.Link)
	if err != nil {
		return nil, err
	}
	var list []entry
	for _, a := range aliases {
		e := entry{Global: a.Name}
		// A repository's own name may end in -global: do not cut it off.
		if golden, ok := byGolden[jsonfile.Get(a.Raw, "repo_name").Str]; ok {
			e.Golden, e.Fallback = golden.Golden, golden.Fallback
			delete(byGolden, golden.Golden)
		}
		list = append(list, e)
	}
	for _, e := range byGolden {
		list = append(list, e)
	}
	return sorted(list), nil
}

// target is the folder in which CIDX searches a repository: what the alias file
// points at, else the paths of the registry. The error says why there is none.
func (v *verification) target(e entry) (string, error) {
	tree, _ := v.layout.Tree(cidx.GoldenRepos)
	tried := e.Fallback
	if e.Global != "" {
		tried = append(home.AliasTargets(tree.Link, e.Global), e.Fallback...)
	}
	for _, path := range tried {
		if path != "" && home.IsFolder(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no files: none of its paths is a folder: %q", tried)
}
