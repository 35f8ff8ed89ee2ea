package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/postgres"
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
	byGolden := map[string]entry{}
	goldens, err := triples(ctx, conn, `SELECT alias, coalesce(clone_path, ''), '' FROM golden_repos_metadata`)
	if err != nil {
		return nil, fmt.Errorf("read golden_repos_metadata: %w", err)
	}
	for _, g := range goldens {
		byGolden[g[0]] = entry{Golden: g[0], Fallback: []string{g[1]}}
	}
	globals, err := triples(ctx, conn, `SELECT alias_name, coalesce(index_path, ''), repo_name FROM global_repos`)
	if err != nil {
		return nil, fmt.Errorf("read global_repos: %w", err)
	}
	var list []entry
	for _, g := range globals {
		e := entry{Global: g[0], Fallback: []string{g[1]}}
		if golden, ok := byGolden[g[2]]; ok {
			e.Golden, e.Fallback = g[2], append(e.Fallback, golden.Fallback...)
			delete(byGolden, g[2])
		}
		list = append(list, e)
	}
	for _, e := range byGolden {
		list = append(list, e)
	}
	return sorted(list), nil
}

// triples are the rows of a query for three texts.
func triples(ctx context.Context, conn *pgconn.PgConn, query string) ([][3]string, error) {
	rows, err := postgres.Read(ctx, conn, query)
	if err != nil {
		return nil, err
	}
	list := make([][3]string, len(rows))
	for i, r := range rows {
		list[i] = [3]string{string(r[0]), string(r[1]), string(r[2])}
	}
	return list, nil
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
	files, err := v.aliasFiles()
	if err != nil {
		return nil, err
	}
	var list []entry
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read alias file: %w", err)
		}
		e := entry{Global: strings.TrimSuffix(filepath.Base(file), ".json")}
		// A repository's own name may end in -global: do not cut it off.
		if golden, ok := byGolden[jsonfile.Get(raw, "repo_name").Str]; ok {
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

// aliasFiles are the alias files at the paths that CIDX uses.
func (v *verification) aliasFiles() ([]string, error) {
	tree, _ := v.layout.Tree(cidx.GoldenRepos)
	var files []string
	for _, sub := range v.layout.AliasDirs() {
		found, err := os.ReadDir(filepath.Join(tree.Link, sub))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("list alias files: %w", err)
		}
		for _, f := range found {
			path := filepath.Join(tree.Link, sub, f.Name())
			if strings.HasSuffix(f.Name(), ".json") && home.IsAliasFile(path) {
				files = append(files, path)
			}
		}
	}
	return files, nil
}

// target is the folder in which CIDX searches a repository: what the alias file
// points at, else the paths of the registry. The error says why there is none.
func (v *verification) target(e entry) (string, error) {
	tree, _ := v.layout.Tree(cidx.GoldenRepos)
	var tried []string
	if e.Global != "" {
		for _, sub := range v.layout.AliasDirs() {
			raw, err := os.ReadFile(filepath.Join(tree.Link, sub, e.Global+".json"))
			if err != nil {
				continue
			}
			to := jsonfile.Get(raw, "target_path").Str
			if isFolder(to) {
				return to, nil
			}
			tried = append(tried, to)
		}
	}
	for _, path := range e.Fallback {
		if path != "" && isFolder(path) {
			return path, nil
		}
		tried = append(tried, path)
	}
	return "", fmt.Errorf("no files: none of its paths is a folder: %q", tried)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
