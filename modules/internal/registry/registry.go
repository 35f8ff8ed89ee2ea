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
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
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

// Job is a row of a table of jobs that has not come to its end.
type Job struct {
	Status string // as the table has it, e.g. "running"
	What   string // e.g. "refresh_golden_repo billing alice"
}

// Registry is what a server knows.
type Registry struct {
	Repos   []Repo
	Globals []Global
	Jobs    []Job // from SQLite only
}

const (
	selectRepos   = `SELECT alias, clone_path FROM golden_repos_metadata ORDER BY 1`
	selectGlobals = `SELECT alias_name, repo_name, index_path FROM global_repos ORDER BY 1`
)

// FromSQLite reads the registry of a home's main database from a private copy:
// even a read-only open can leave files beside a WAL database, and those of root
// would lock the server's user out. The server may be running.
func FromSQLite(ctx context.Context, home string) (Registry, error) {
	dir, err := sqlite.CopyFolder()
	if err != nil {
		return Registry{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, filepath.Base(cidx.ServerDatabase(home)))
	if err := sqlite.Copy(ctx, cidx.ServerDatabase(home), path); err != nil {
		return Registry{}, err
	}
	c, err := sqlite.OpenCopy(path, cidx.ServerDatabase(home))
	if err != nil {
		return Registry{}, err
	}
	defer c.Close()
	var r Registry
	err = each(c, selectRepos, func(row *sqlite.Rows) {
		r.Repos = append(r.Repos, Repo{Alias: row.Text(0), ClonePath: row.Text(1)})
	})
	if err == nil {
		err = each(c, selectGlobals, func(row *sqlite.Rows) {
			r.Globals = append(r.Globals, Global{Alias: row.Text(0), Repo: row.Text(1), IndexPath: row.Text(2)})
		})
	}
	if err == nil {
		r.Jobs, err = jobs(c)
	}
	var told problem.Problem
	if err != nil && !errors.As(err, &told) {
		err = problem.Problem{What: "read the registry of repositories: " + err.Error(), At: cidx.ServerDatabase(home),
			Fix: "restore the file from a backup, with its -wal if there is one: it was emptied, or the tables were dropped"}
	}
	return r, err
}

func each(c *sqlite.Conn, sql string, do func(*sqlite.Rows)) error {
	rows, err := c.Query(sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		do(rows)
	}
	return rows.Err()
}

// FromPostgres reads the registry of a cluster.
func FromPostgres(ctx context.Context, conn *pgconn.PgConn) (Registry, error) {
	var r Registry
	rows, err := postgres.Rows(ctx, conn, selectRepos)
	if err != nil {
		return Registry{}, fmt.Errorf("read golden_repos_metadata: %w", err)
	}
	for _, row := range rows {
		r.Repos = append(r.Repos, Repo{Alias: string(row[0]), ClonePath: string(row[1])})
	}
	if rows, err = postgres.Rows(ctx, conn, selectGlobals); err != nil {
		return Registry{}, fmt.Errorf("read global_repos: %w", err)
	}
	for _, row := range rows {
		r.Globals = append(r.Globals, Global{Alias: string(row[0]), Repo: string(row[1]), IndexPath: string(row[2])})
	}
	return r, nil
}
