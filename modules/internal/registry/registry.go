// Package registry reads which repositories a server knows: tables
// golden_repos_metadata and global_repos, from SQLite or from PostgreSQL. It
// never writes.
//
// CIDX 11.79 uses clone_path where it exists, and then it has to lie below
// data/golden-repos; otherwise the newest snapshot of the alias. A row that
// leads nowhere is deleted by its reconciler at the next start.
package registry

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/sqlite"
)

// Repo is a row of golden_repos_metadata.
type Repo struct {
	Alias     string
	ClonePath string
}

// Global is a row of global_repos.
type Global struct {
	Alias     string // alias_name, e.g. "billing-global"
	Repo      string // repo_name, e.g. "billing"
	IndexPath string // used where there is no alias file
}

// Registry is what a server knows.
type Registry struct {
	Repos   []Repo
	Globals []Global
}

const (
	selectRepos   = `SELECT alias, clone_path FROM golden_repos_metadata ORDER BY 1`
	selectGlobals = `SELECT alias_name, repo_name, index_path FROM global_repos ORDER BY 1`
)

// FromSQLite reads the registry of a home's main database in place, without
// lock and without writing. While a server runs, the answer may be torn: ask
// again before believing in a fault.
func FromSQLite(home string) (Registry, error) {
	c, err := sqlite.Open(cidx.ServerDatabase(home))
	if err != nil {
		return Registry{}, err
	}
	defer c.Close()
	var r Registry
	err = rows(c, selectRepos, func(row *sqlite.Rows) {
		r.Repos = append(r.Repos, Repo{Alias: row.Text(0), ClonePath: row.Text(1)})
	})
	if err == nil {
		err = rows(c, selectGlobals, func(row *sqlite.Rows) {
			r.Globals = append(r.Globals, Global{Alias: row.Text(0), Repo: row.Text(1), IndexPath: row.Text(2)})
		})
	}
	if err != nil {
		return Registry{}, fmt.Errorf("read registry of %s: %w", cidx.ServerDatabase(home), err)
	}
	return r, nil
}

func rows(c *sqlite.Conn, sql string, each func(*sqlite.Rows)) error {
	rows, err := c.Query(sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		each(rows)
	}
	return rows.Err()
}

// FromPostgres reads the registry of a cluster.
func FromPostgres(ctx context.Context, conn *pgx.Conn) (Registry, error) {
	var r Registry
	repos, err := conn.Query(ctx, selectRepos)
	if err == nil {
		r.Repos, err = pgx.CollectRows(repos, pgx.RowToStructByPos[Repo])
	}
	if err != nil {
		return Registry{}, fmt.Errorf("read golden_repos_metadata: %w", err)
	}
	globals, err := conn.Query(ctx, selectGlobals)
	if err == nil {
		r.Globals, err = pgx.CollectRows(globals, pgx.RowToStructByPos[Global])
	}
	if err != nil {
		return Registry{}, fmt.Errorf("read global_repos: %w", err)
	}
	return r, nil
}
