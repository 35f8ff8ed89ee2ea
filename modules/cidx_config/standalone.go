package config

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/further"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
)

// toStandalone makes the home a standalone server's again. It works without
// the share: links are read, never followed.
func (c *request) toStandalone(ctx context.Context) error {
	now, err := c.Config(ctx)
	if err != nil && !cutover.Missing(c.ConfigPath()) {
		return err
	}
	standing, err := c.Standing()
	if err != nil {
		return err
	}
	if err := further.Refuse(standing, c.Home); err != nil {
		return err
	}
	c.unfinished = standing.Unfinished() || standing.Cutover == home.ToCluster
	c.loaded = standing.Loaded
	switch {
	case standing.Accepted != nil:
		return standing.Accepted.NoWayBack(c.State())
	case now.Cluster() && (standing.Forgotten || standing.Stray && c.sharesLinks(now)):
		return c.noWayBack()
	}
	if err := c.planStandalone(ctx, now, standing); err != nil {
		return err
	}
	if len(c.Plan) == 0 && standing.Begun == "" && standing.Cutover != home.ToCluster {
		c.reply.Msg = "the home is standalone already"
		return nil
	}
	if c.Mode.Check {
		c.reply.Msg = "the home would be made standalone"
		return c.othersWork(ctx, now)
	}
	return c.goBack(ctx, now, standing)
}

// goBack carries the plan out.
func (c *request) goBack(ctx context.Context, now home.Config, standing home.Standing) error {
	if c.args.LiveNodes { // Ansible does not show warnings of check modes
		if err := c.othersWork(ctx, now); err != nil {
			return err
		}
	}
	// A run that goes on keeps what the first one found; see cidx_backup, ownWrites.
	if standing.Begun != home.ToStandalone {
		if err := c.Begin(now); err != nil {
			return err
		}
	}
	if err := c.Apply(ctx); err != nil {
		return err
	}
	c.reply.Msg = "the home is standalone"
	return c.End()
}

// noWayBack is the problem of a cluster node of which only the links are left: one
// that was migrated, or a further one, which has nothing to go back to.
func (c *request) noWayBack() error {
	return problem.Problem{
		What: "the repositories are links to the share, and there is no record of a migration: " +
			"it was removed together with what was set aside, or this is a further node of the cluster",
		At: c.State().Journal(),
		Fix: "put the state folder and the *.pre-cluster folders back from a backup of the node; " +
			"without them this migration cannot be rolled back, and the cluster node goes on as it is",
	}
}

// sharesLinks reports whether the repositories are a link to the share, not to
// another disk.
func (c *request) sharesLinks(now home.Config) bool {
	mount, err := c.MountPoint(now)
	if err != nil {
		return true
	}
	for _, t := range home.AllTrees(c.Home, mount) {
		if t.Name == cidx.GoldenRepos && cutover.Leads(t) {
			return true
		}
	}
	return false
}

// planStandalone plans config.json first and the links last: a standalone
// server works through the links, a cluster node without them does not.
func (c *request) planStandalone(ctx context.Context, now home.Config, standing home.Standing) error {
	problems := c.Lost(standing)
	problems.Add(c.ConfigBack(ctx, now))
	var back []home.Tree
	for _, t := range c.WayBack(ctx, now, standing) {
		s, needed, err := cutover.Back(t)
		problems.Add(err)
		if needed {
			c.Plan, back = append(c.Plan, s), append(back, t)
		}
	}
	problems.Add(c.complete(ctx, back))
	return problems.Err()
}

// complete refuses a rollback after which CIDX would delete repositories: each
// row of the standalone registry has to be in the folders that come back. Rows
// can be missing there when the standalone server was started by hand while
// the links led to the share.
func (c *request) complete(ctx context.Context, back []home.Tree) error {
	moves := map[string]string{}
	var share string
	for _, t := range back {
		if t.Name == cidx.GoldenRepos {
			moves[t.Link], moves[t.Target], share = t.Aside(), t.Aside(), t.Target
		}
	}
	if len(moves) == 0 || cutover.Missing(cidx.ServerDatabase(c.Home)) {
		return nil
	}
	known, err := c.Registry(ctx)
	if err != nil {
		return err
	}
	var problems problem.List
	for _, r := range known.Repos {
		path := repath.Rewrite(r.ClonePath, moves)
		if path == r.ClonePath || !cutover.Missing(path) || home.NewestSnapshot(moves[share], r.Alias) != "" {
			continue
		}
		problems = append(problems, problem.Problem{
			What: "repository " + r.Alias + " is registered in SQLite, but not in the standalone folder", At: path,
			Fix: "it was added after the migration; copy it from the share: " +
				"rsync -a " + share + "/" + r.Alias + " " + moves[share] + "/",
		})
	}
	return problems.Err()
}

// nodesDeadline bounds the question for other nodes; PostgreSQL may be the
// reason for a rollback.
const nodesDeadline = 15 * time.Second

// othersWork refuses to begin a way back while other nodes of the cluster are alive,
// unless the operator wants it: they go on with the share and the database, but
// what this node alone had is the standalone server's from now on. A database
// that does not answer is a warning: a rollback does without it.
func (c *request) othersWork(ctx context.Context, now home.Config) error {
	config := now
	if !config.Cluster() {
		kept, err := home.ReadConfig(ctx, c.State().ClusterConfig())
		if err != nil {
			return nil // no cluster is known
		}
		config = kept
	}
	warn := func(format string, values ...any) {
		c.reply.Warnings = append(c.reply.Warnings, fmt.Sprintf(format, values...))
	}
	dsn := cmp.Or(c.args.DSN, config.DSN)
	ctx, cancel := context.WithTimeout(ctx, nodesDeadline)
	defer cancel()
	others, err := othersOf(ctx, dsn, config.NodeID)
	switch {
	case err != nil:
		warn("whether other nodes of the cluster are online is not known (%v)", err)
	case len(others) > 0 && c.args.LiveNodes:
		warn("%s: they go on with the cluster's data, which this server leaves", nodes.Words(others))
	case len(others) > 0:
		return problem.Problem{What: nodes.Words(others) + ": after the rollback they and this server have different data",
			At: postgres.WhereDSN(dsn), Fix: "stop the servers of those nodes first, or, if they are to go on without this server, " +
				"run cluster-rollback.yml with -e cidx_rollback_with_live_nodes=yes"}
	}
	return nil
}

func othersOf(ctx context.Context, dsn, own string) ([]nodes.Node, error) {
	conn, err := postgres.Connect(ctx, dsn, home.ConfigModule)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	list, err := nodes.Alive(ctx, conn)
	if err != nil {
		return nil, postgres.Explain(err, postgres.WhereDSN(dsn))
	}
	return nodes.Others(list, own), nil
}
