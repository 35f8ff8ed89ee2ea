package cutover

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
)

// Found is what there is before a change.
type Found struct {
	Now, Kept home.Config // config.json, and the cluster's: the same, or the copy kept of it
	DSN       string      // of the cluster's database
	Where     string      // it is, in messages
	Conn      *pgconn.PgConn
	Share     string
	Layout    home.Layout
	Trees     []Tree
	Standing  home.Standing
}

// Find reads configuration, layout, links and journal. dsn and node are what the
// operator says; "" leaves it to the configuration.
func (c *Change) Find(ctx context.Context, dsn string) (Found, error) {
	var f Found
	var problems problem.List
	var err error
	if f.Now, err = c.Config(ctx); err != nil {
		return f, err
	}
	if f.Kept, err = c.ClusterConfig(ctx); err != nil {
		return f, err
	}
	f.DSN = cmp.Or(dsn, f.Kept.DSN)
	if f.Share, err = c.MountPoint(f.Kept); err != nil {
		return f, err
	}
	if err := share.Alive(ctx, f.Share, share.Deadline); err != nil {
		return f, err
	}
	if f.Standing, err = c.Standing(); err != nil {
		return f, err
	}
	c.Resumed = f.Standing.Begun == home.ToCluster
	if f.Layout, err = home.Detect(c.Home, f.Share); err != nil {
		return f, err
	}
	f.Trees, err = LookAt(f.Layout.Trees)
	problems.Add(err)
	if f.Standing.Begun == home.ToStandalone {
		problems = append(problems, problem.Problem{What: "a rollback was interrupted", At: c.Home,
			Fix: "finish it with cluster-rollback.yml, then migrate again"})
	}
	return f, problems.Err()
}

// Connect opens a session of the cluster's database, for reading only.
func (f *Found) Connect(ctx context.Context) (err error) {
	f.Where = postgres.WhereDSN(f.DSN)
	f.Conn, err = postgres.Connect(ctx, f.DSN, home.ConfigModule)
	return err
}

// Close ends it.
func (f *Found) Close(ctx context.Context) {
	_ = f.Conn.Close(context.WithoutCancel(ctx)) // nothing was written
}

// Rel is a path of the home as it is told.
func (c *Change) Rel(path string) string {
	if rel, err := filepath.Rel(c.Home, path); err == nil {
		return rel
	}
	return path
}

// WayBack lists every tree that a home can have, with the share that our links lead
// to: what the configuration says, else the copy kept of it, else the journal. It
// asks the share nothing.
func (c *Change) WayBack(ctx context.Context, now home.Config, standing home.Standing) []home.Tree {
	mount, err := c.MountPoint(now)
	if err != nil {
		kept, _ := home.ReadConfig(ctx, c.State().ClusterConfig()) // names no share where there is none
		mount, err = c.MountPoint(kept)
	}
	for _, e := range standing.Entries {
		if target, ok := e.Data["target"].(string); ok && err != nil && e.Module == home.ConfigModule {
			mount, err = filepath.Dir(target), nil
		}
	}
	return home.AllTrees(c.Home, mount)
}

// Lacking lists the trees' folders that are not on the share.
func (f Found) Lacking() (list []string) {
	for _, t := range f.Trees {
		if info, err := os.Stat(t.Target); err != nil || !info.IsDir() {
			list = append(list, t.Target)
		}
	}
	return list
}
