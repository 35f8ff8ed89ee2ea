package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/proof"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// tooEarly is how long after the migration an acceptance is warned of.
const tooEarly = time.Hour

// acceptable proves that the migration is complete and that the cluster has
// everything, and answers with the record to write. It changes nothing.
func (a *acceptance) acceptable(ctx context.Context, found cutover.Found) (home.Acceptance, error) {
	if err := a.finished(found); err != nil {
		return home.Acceptance{}, err
	}
	if err := found.Connect(ctx); err != nil {
		return home.Acceptance{}, err
	}
	defer found.Close(ctx)
	marker, err := a.ourLoad(ctx, found)
	problems := problem.Of(err)
	problems.Add(online(ctx, found))
	problems.Add(a.onShare(ctx, found))
	done, _ := found.Standing.Last(home.ConfigModule, home.ConfigDone)
	if since := time.Since(done.Time); since < tooEarly {
		a.reply.Warnings = append(a.reply.Warnings, fmt.Sprintf(
			"the migration was completed only %d min ago; once it is accepted there is no way back to the standalone server",
			int(since.Minutes())))
	}
	tables := map[string]home.LoadedTable{}
	for name, t := range marker.Tables {
		tables[name] = home.LoadedTable{Rows: t.Rows, Digest: t.Digest}
	}
	return home.Acceptance{
		Time: time.Now().UTC().Truncate(time.Second), By: job.Who(string(a.State())),
		Home: marker.Home, Host: marker.Host, Node: found.Now.NodeID,
		Source: marker.Source, Loaded: marker.Committed, Migrated: done.Time, Tables: tables,
	}, problems.Err()
}

// finished refuses where no migration has come to its end on this server.
func (a *acceptance) finished(found cutover.Found) error {
	s := found.Standing
	const run = "finish it with cluster-migrate.yml, or take it back with cluster-rollback.yml"
	switch {
	case s.Forgotten, s.Stray, s.Cutover == "" && slices.ContainsFunc(found.Trees, func(t cutover.Tree) bool { return t.Kept }):
		return problem.Problem{
			What: "there is no record of a migration of this server: it was removed, or this is a further node of the cluster",
			At:   a.State().Journal(),
			Fix:  "accept on the node that was migrated; where its record was removed there is nothing left to accept",
		}
	case s.Cutover != home.ToCluster:
		return problem.Problem{What: "this server was not migrated", At: a.Home, Fix: "run cluster-migrate.yml first"}
	case !s.Migrated(), s.Unfinished():
		return problem.Problem{What: "the migration has not come to its end", At: a.State().Journal(), Fix: run}
	case !found.Now.Cluster():
		return problem.Problem{What: fmt.Sprintf("storage_mode is %q: this server is not in cluster mode", found.Now.StorageMode),
			At: found.Now.Path, Fix: "find out who has changed it; " + run}
	}
	var problems problem.List
	for _, t := range found.Trees {
		if t.State != home.LinkInPlace {
			problems = append(problems, problem.Problem{What: "not the link to " + t.Target + " that the cut-over has made", At: t.Link,
				Fix: "put the link back; the cluster node needs it"})
		}
	}
	return problems.Err()
}

// ourLoad is the marker of the load that this home was migrated with.
func (a *acceptance) ourLoad(ctx context.Context, f cutover.Found) (m loaded.Marker, err error) {
	found, err := loaded.Of(ctx, f.Conn, f.Standing.Source)
	if err != nil {
		return m, postgres.Explain(err, f.Where)
	}
	if found != nil {
		m = *found
	}
	host, err := os.Hostname()
	if err != nil {
		return m, fmt.Errorf("find the host's name: %w", err)
	}
	const other = "name the database of this cluster in postgres_dsn, and accept on the node that was migrated"
	switch {
	case found == nil || !f.Standing.Loaded:
		return m, problem.Problem{What: "PostgreSQL does not hold what this migration has loaded", At: f.Where, Fix: other}
	case m.RolledBack != "":
		return m, problem.Problem{What: "what was loaded is marked as given up by a rollback", At: f.Where,
			Fix: "finish the rollback with cluster-rollback.yml, or migrate again"}
	case m.Home != a.Home || m.Host != host:
		return m, problem.Problem{What: fmt.Sprintf("this database was loaded from another server: %s on %s", m.Home, m.Host), At: f.Where,
			Fix: other}
	}
	return m, nil
}

// online refuses while the cluster node does not beat: nobody has seen it work.
func online(ctx context.Context, f cutover.Found) error {
	list, err := nodes.Alive(ctx, f.Conn)
	if err != nil {
		return postgres.Explain(err, f.Where)
	}
	if !slices.ContainsFunc(list, func(n nodes.Node) bool { return n.ID == f.Now.NodeID }) {
		return problem.Problem{
			What: fmt.Sprintf("the cluster node %q is not online: no heartbeat within the last %.0f s",
				f.Now.NodeID, nodes.Fresh.Seconds()),
			At:  f.Where,
			Fix: "start the server, and see that cluster-verify.yml succeeds",
		}
	}
	return nil
}

// onShare refuses where something is registered that the share does not have: it
// may be only in what would be removed.
func (a *acceptance) onShare(ctx context.Context, found cutover.Found) error {
	_, err := proof.Share(ctx, a.Common, found, true)
	problems := problem.Of(err)
	names, err := a.ReadListing()
	problems.Add(err)
	known, err := home.ClusterRegistry(ctx, found.Conn)
	problems.Add(err)
	registered := map[string]bool{}
	for _, r := range known.Repos {
		registered[r.Alias] = true
	}
	for _, t := range found.Trees {
		switch t.Name {
		case cidx.ActivatedRepos:
			problems.Add(lacking(ctx, found.Conn, t.Tree, names[t.Link]))
		case cidx.GoldenRepos:
			problems.Add(hollow(t.Tree, names[t.Link], registered))
		}
	}
	return problems.Err()
}

// lacking names activated repositories of users that the standalone server had and
// PostgreSQL knows, but the share does not have.
func lacking(ctx context.Context, conn *pgconn.PgConn, t home.Tree, names []string) error {
	rows, err := postgres.Read(ctx, conn, "SELECT username || '/' || user_alias FROM activated_repos")
	if err != nil && postgres.Code(err) != postgres.UndefinedTable {
		return fmt.Errorf("read activated_repos: %w", err)
	}
	var problems problem.List
	for _, r := range rows {
		at := filepath.Join(t.Target, string(r[0]))
		if slices.Contains(names, string(r[0])) && cutover.Missing(at) {
			problems = append(problems, problem.Problem{What: "the activated repository is not on the share", At: at,
				Fix: "copy it from " + filepath.Join(t.Aside(), string(r[0])) + ", or deactivate it in CIDX"})
		}
	}
	return problems.Err()
}

// hollow names registered repositories whose base clone is gone on the share, or has
// nothing in it, and had something when it was set aside. The server does without
// it while there is a snapshot.
func hollow(t home.Tree, names []string, registered map[string]bool) error {
	var problems problem.List
	seen := map[string]bool{}
	for _, n := range names {
		repo, _, below := strings.Cut(n, "/")
		if !below || seen[repo] || !registered[repo] {
			continue
		}
		seen[repo] = true
		entries, err := os.ReadDir(filepath.Join(t.Target, repo))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = errors.New("the base clone of this repository is not on the share")
		case err == nil && len(entries) == 0:
			err = errors.New("the base clone of this repository is empty")
		}
		if err != nil {
			problems = append(problems, problem.Problem{What: err.Error(), At: filepath.Join(t.Target, repo),
				Fix: "copy it from " + filepath.Join(t.Aside(), repo) + ", or remove the repository in CIDX"})
		}
	}
	return problems.Err()
}
