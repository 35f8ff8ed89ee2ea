package proof

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
)

// again is the way on where something was written since the backup.
const again = "run cluster-migrate.yml again: it takes it along"

// Still proves what a cut-over rests on: the server has not come back, nothing that
// was taken has changed since, nobody has a database open, and the load in PostgreSQL
// is the one that this migration made and nobody has given up. ours tells whether
// config.json is as this cut-over has written it. The trees take the longest: they are
// looked at if trees is set, or where something else was found, since all that was
// written late is told at once.
func Still(ctx context.Context, c home.Common, f cutover.Found, ours, trees bool) error {
	var problems problem.List
	problems.Add(service.StillStopped(ctx, c))
	problems.Add(unchanged(ctx, c, ours))
	problems.Add(nobodyWrites(c))
	problems.Add(LoadStands(ctx, c, f))
	if trees || len(problems) > 0 {
		problems.Add(untouched(ctx, c, f))
	}
	return problems.Err()
}

// nobodyWrites refuses while a process has a database open: the server, or whoever
// else writes there.
func nobodyWrites(c home.Common) error {
	return service.DatabasesRest(c.Home, "end that process, and keep it from coming back until the migration is done; then "+again)
}

// unchanged compares databases, keys, alias files and config.json with what the
// backup took.
func unchanged(ctx context.Context, c home.Common, ours bool) error {
	places, err := kept.Open(c)
	if err != nil {
		return err
	}
	defer places.Close() //nolint:errcheck // folders, of which nothing was written
	record, ok, err := kept.Read(places)
	if err != nil {
		return err
	}
	if !ok {
		return problem.Problem{What: "no backup was taken", At: c.State().Backup(),
			Fix: "run cluster-migrate.yml as a whole: the backup is taken before the databases are loaded"}
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
		problems = append(problems, problem.Problem{
			What: d.What + " since the backup" + inTables(d.Tables(ctx, c)) + ", so the cluster would be without it",
			At:   d.Path, Fix: again,
		})
	}
	return problems.Err()
}

func inTables(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " in " + strings.Join(names, ", ")
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

// LoadStands reads journal and PostgreSQL again: a rollback that came between
// has given the load up, and a server must not start on it.
func LoadStands(ctx context.Context, c home.Common, f cutover.Found) error {
	standing, err := c.Standing()
	if err != nil {
		return err
	}
	const fix = "finish the rollback with cluster-rollback.yml, or run cluster-migrate.yml again, which loads the data anew"
	if !standing.Loaded || standing.Begun == home.ToStandalone {
		return problem.Problem{What: "a rollback has given up what was loaded into PostgreSQL", At: c.State().Journal(), Fix: fix}
	}
	m, err := loaded.Of(ctx, f.Conn, standing.Source)
	switch {
	case err != nil:
		return postgres.Explain(err, f.Where)
	case m == nil:
		return problem.Problem{What: "PostgreSQL does not hold what this migration has loaded", At: f.Where,
			Fix: "run cluster-migrate.yml as a whole, with the same database: it is loaded before the cut-over"}
	case m.RolledBack != "":
		return problem.Problem{What: "what was loaded is marked as given up by a rollback", At: f.Where, Fix: fix}
	}
	return nil
}

// HasRun reports whether the cluster's server has run since the cut-over: as our
// journal tells, as an open database shows, or as its heartbeats in PostgreSQL do
// (somebody may have started it by hand).
func HasRun(ctx context.Context, c home.Common, f cutover.Found) (bool, error) {
	if f.Standing.Started || nobodyWrites(c) != nil {
		return true, nil
	}
	done, ok := f.Standing.Last(home.ConfigModule, home.ConfigDone)
	if !ok {
		return true, nil
	}
	rows, err := postgres.Read(ctx, f.Conn, "SELECT EXISTS (SELECT FROM cluster_nodes WHERE last_heartbeat > $1::timestamptz)",
		done.Time.Format(time.RFC3339Nano))
	if err != nil && postgres.Code(err) != postgres.UndefinedTable {
		return false, fmt.Errorf("look for heartbeats: %w", postgres.Explain(err, f.Where))
	}
	return len(rows) > 0 && string(rows[0][0]) == "t", nil
}
