package config

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
	"cidx-cluster/modules/internal/service"
)

// again is the way on where something was written since the backup.
const again = "run cluster-migrate.yml again: it takes it along"

// still proves what a cut-over rests on: the server has not come back, nothing
// that was taken has changed since, nobody has a database open, and the load in
// PostgreSQL is the one that this migration made and nobody has given up. ours
// tells whether config.json is as this cut-over has written it. The trees take the
// longest: they are looked at if trees is set, or where something else was found,
// since all that was written late is told at once.
func (c *cutover) still(ctx context.Context, found situation, ours, trees bool) error {
	var problems problem.List
	problems.Add(service.StillStopped(ctx, c.Common))
	problems.Add(c.unchanged(ctx, ours))
	problems.Add(c.nobodyWrites())
	problems.Add(c.loadStands(ctx, found))
	if trees || len(problems) > 0 {
		problems.Add(c.untouched(ctx, found))
	}
	return problems.Err()
}

// unchanged compares databases, keys, alias files and config.json with what the
// backup took.
func (c *cutover) unchanged(ctx context.Context, ours bool) error {
	places, err := kept.Open(c.Common)
	if err != nil {
		return err
	}
	defer places.Close() //nolint:errcheck // folders, of which nothing was written
	record, ok, err := kept.Read(places)
	if err != nil {
		return err
	}
	if !ok {
		return problem.Problem{What: "no backup was taken", At: c.State().Backup(), Fix: "run cluster-migrate.yml as a whole: the backup is taken before the databases are loaded"}
	}
	differences, err := record.Compare(places)
	if err != nil {
		return err
	}
	standing, err := c.Standing()
	if err != nil {
		return err
	}
	var problems problem.List
	for _, d := range differences {
		if d.Of.Kind == kept.Config && ours || saltOfOurs(d, standing, places) {
			continue
		}
		problems = append(problems, problem.Problem{What: d.What + " since the backup" + c.inTables(ctx, d) + ", so the cluster would be without it", At: d.Path, Fix: again})
	}
	return problems.Err()
}

// saltOfOurs reports whether a difference is the salt file that the load has
// made for a server that had none.
func saltOfOurs(d kept.Difference, standing home.Standing, places *kept.Places) bool {
	if d.What != kept.New || d.Of.Path != kept.Salt {
		return false
	}
	dir, rel := places.Where(d.File())
	sum, err := kept.Hash(dir, rel)
	if err != nil {
		return false
	}
	for _, e := range standing.Entries {
		if e.Module == home.DatabaseModule && e.Event == home.SaltMade && e.Data["sha256"] == sum {
			return true
		}
	}
	return false
}

// nobodyWrites refuses while a process has a database open: the server, or
// whoever else writes there.
func (c *cutover) nobodyWrites() error {
	var files []string
	for _, d := range cidx.DatabaseFiles() {
		path := filepath.Join(c.Home, d.Path)
		files = append(append(files, path), cidx.SideFiles(path)...)
	}
	holders, _, err := process.Holders(process.Files(files), nil)
	if err != nil {
		return err
	}
	var problems problem.List
	for _, p := range holders {
		problems = append(problems, problem.Problem{What: "open in " + p.String(), At: p.Path, Fix: "end that process, and keep it from coming back until the migration is done; then " + again})
	}
	return problems.Err()
}

// loadStands reads journal and PostgreSQL again: a rollback that came between
// has given the load up, and a server must not start on it.
func (c *cutover) loadStands(ctx context.Context, found situation) error {
	standing, err := c.Standing()
	if err != nil {
		return err
	}
	const fix = "finish the rollback with cluster-rollback.yml, or run cluster-migrate.yml again, which loads the data anew"
	if !standing.Loaded || standing.Begun == home.ToStandalone {
		return problem.Problem{What: "a rollback has given up what was loaded into PostgreSQL", At: c.State().Journal(), Fix: fix}
	}
	conn, where, err := c.connect(ctx, found)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	m, err := loaded.Of(ctx, conn, standing.Source)
	switch {
	case err != nil:
		return postgres.Explain(err, where)
	case m == nil:
		return problem.Problem{What: "PostgreSQL does not hold what this migration has loaded", At: where, Fix: "run cluster-migrate.yml as a whole, with the same database: it is loaded before the cut-over"}
	case m.RolledBack != "":
		return problem.Problem{What: "what was loaded is marked as given up by a rollback", At: where, Fix: fix}
	}
	return nil
}

// hasRun reports whether the cluster's server has run since the cut-over: as our
// journal tells, as an open database shows, or as its heartbeats in PostgreSQL do
// (somebody may have started it by hand).
func (c *cutover) hasRun(ctx context.Context, found situation) (bool, error) {
	if found.standing.Started || c.nobodyWrites() != nil {
		return true, nil
	}
	done, ok := found.standing.Last(home.ConfigModule, home.ConfigDone)
	if !ok {
		return true, nil
	}
	conn, where, err := c.connect(ctx, found)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	rows, err := postgres.Read(ctx, conn, "SELECT EXISTS (SELECT FROM cluster_nodes WHERE last_heartbeat > $1::timestamptz)", done.Time.Format(time.RFC3339Nano))
	if err != nil && postgres.Code(err) != postgres.UndefinedTable {
		return false, fmt.Errorf("look for heartbeats: %w", postgres.Explain(err, where))
	}
	return len(rows) > 0 && string(rows[0][0]) == "t", nil
}

// connect opens a session of the cluster's database; where names it in errors.
func (c *cutover) connect(ctx context.Context, found situation) (conn *pgconn.PgConn, where string, err error) {
	dsn := c.DSN
	if dsn == "" {
		dsn = found.kept.DSN
	}
	conn, err = postgres.Connect(ctx, dsn, home.ConfigModule)
	return conn, postgres.WhereDSN(dsn), err
}

// inTables names the tables of a database that differ from the copy: " in
// tables users, groups"; "" where they cannot be told.
func (c *cutover) inTables(ctx context.Context, d kept.Difference) string {
	if d.Of.Kind != kept.Database || d.What == kept.Missing {
		return ""
	}
	name := strings.TrimSuffix(strings.TrimSuffix(d.Of.Path, "-wal"), "-journal")
	tables, err := changedTables(ctx, filepath.Join(c.Home, name), c.State().Snapshot(name), c.State().Path("compare"))
	if err != nil || len(tables) == 0 {
		return "" // the file is named all the same
	}
	return " in " + strings.Join(tables, ", ")
}
