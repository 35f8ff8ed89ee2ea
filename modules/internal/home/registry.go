package home

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/copies"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/scratch"
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

// Registry is which repositories a server knows. CIDX 11.79 uses clone_path where
// it exists, and then it has to lie below data/golden-repos; otherwise the newest
// snapshot of the alias. A row that leads nowhere is deleted by its reconciler at
// the next start.
type Registry struct {
	Repos   []Repo
	Globals []Global
	Jobs    []Job // from SQLite only
}

const (
	selectRepos   = `SELECT alias, clone_path FROM golden_repos_metadata ORDER BY 1`
	selectGlobals = `SELECT alias_name, repo_name, index_path FROM global_repos ORDER BY 1`
)

// Registry reads the registry of the main database from a private copy: even a
// read-only open can leave files beside a WAL database. The server may be running.
func (c Common) Registry(ctx context.Context) (Registry, error) {
	dir, err := scratch.New(copies.Kind)
	if err != nil {
		return Registry{}, err
	}
	defer dir.Remove()
	database := cidx.ServerDatabase(c.Home)
	path := filepath.Join(dir.Path, filepath.Base(database))
	if err := sqlite.Copy(ctx, database, path); err != nil {
		return Registry{}, err
	}
	copied, err := sqlite.OpenCopy(path, database)
	if err != nil {
		return Registry{}, err
	}
	defer copied.Close()
	var r Registry
	err = each(copied, selectRepos, func(row *sqlite.Rows) {
		r.Repos = append(r.Repos, Repo{Alias: row.Text(0), ClonePath: row.Text(1)})
	})
	if err == nil {
		err = each(copied, selectGlobals, func(row *sqlite.Rows) {
			r.Globals = append(r.Globals, Global{Alias: row.Text(0), Repo: row.Text(1), IndexPath: row.Text(2)})
		})
	}
	if err == nil {
		r.Jobs, err = jobs(copied)
	}
	var told problem.Problem
	if err != nil && !errors.As(err, &told) {
		err = problem.Problem{What: "read the registry of repositories: " + err.Error(), At: database,
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

// ClusterRegistry reads the registry of a cluster.
func ClusterRegistry(ctx context.Context, conn *pgconn.PgConn) (Registry, error) {
	var r Registry
	rows, err := postgres.Read(ctx, conn, selectRepos)
	if err != nil {
		return Registry{}, fmt.Errorf("read golden_repos_metadata: %w", err)
	}
	for _, row := range rows {
		r.Repos = append(r.Repos, Repo{Alias: string(row[0]), ClonePath: string(row[1])})
	}
	if rows, err = postgres.Read(ctx, conn, selectGlobals); err != nil {
		return Registry{}, fmt.Errorf("read global_repos: %w", err)
	}
	for _, row := range rows {
		r.Globals = append(r.Globals, Global{Alias: string(row[0]), Repo: string(row[1]), IndexPath: string(row[2])})
	}
	return r, nil
}

// NewestSnapshot is .versioned/<alias>/v_<largest number> below a golden-repos tree,
// where CIDX looks for a repository without its base clone; "" if there is none.
func NewestSnapshot(golden, alias string) string {
	dir := filepath.Join(golden, ".versioned", alias)
	entries, _ := os.ReadDir(dir) // most aliases have no snapshot yet
	best, newest := "", int64(-1)
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), "v_")
		if n, err := strconv.ParseInt(text, 10, 64); ok && err == nil && n > newest {
			best, newest = filepath.Join(dir, e.Name()), n
		}
	}
	return best
}
