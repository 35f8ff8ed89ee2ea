package config

import (
	"context"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// toApart takes a further node out of the cluster: what the server had of its own
// comes back, and nothing of the cluster is touched. It works without the share.
func (c *cutover) toApart(ctx context.Context) error {
	standing, err := c.Standing()
	if err != nil {
		return err
	}
	c.unfinished = standing.Unfinished()
	ours := standing.Cutover == home.ToNode || standing.Begun == home.ToNode || standing.Begun == home.Apart
	c.reply.Data = map[string]any{"stop": ours}
	now, err := c.Config(ctx)
	if err != nil && !missing(c.ConfigPath()) {
		return err
	}
	switch {
	case standing.Cutover == home.ToCluster || standing.Begun == home.ToCluster || standing.Begun == home.ToStandalone:
		return problem.Problem{
			What: "this server was migrated itself: it is no further node",
			At:   c.Home,
			Fix:  "take it back with cluster-rollback.yml",
		}
	case !ours:
		c.reply.Msg = "this home is no node that cluster-node.yml has added"
		return c.notOurs(ctx, now, standing)
	}
	if err := c.planApart(ctx, now, standing); err != nil {
		return err
	}
	if c.mode.Check {
		c.reply.Msg = "the home would be taken out of the cluster"
		c.plan = append(c.plan, step{what: "remember that this home is no node"})
		return nil
	}
	return c.leave(ctx, standing)
}

// leave carries the plan out.
func (c *cutover) leave(ctx context.Context, standing home.Standing) error {
	if err := c.rests(ctx); err != nil {
		return err
	}
	if standing.Begun != home.Apart {
		if err := c.note(home.ConfigBegun, nil); err != nil {
			return err
		}
	}
	if err := c.apply(ctx); err != nil {
		return err
	}
	c.done = append(c.done, "remember that this home is no node")
	c.reply.Msg = "the home is out of the cluster"
	c.reach("write the journal")
	if err := c.note(home.ConfigDone, nil); err != nil {
		return err
	}
	c.reach("remove the copy of the keys")
	return removeSynced(c.beforePath()) // killed before, it is replaced when this home becomes a node again
}

// notOurs refuses to let a server start that would be standalone only by its name.
func (c *cutover) notOurs(ctx context.Context, now home.Config, standing home.Standing) error {
	if !now.Cluster() {
		return nil
	}
	problems := c.handMade(ctx, now, standing, listing{})
	if len(problems) == 0 && c.unfinished {
		problems.Add(problem.Problem{
			What: "this server was joined and is no node yet: it was stopped, and would start on what it has not got",
			At:   c.ConfigPath(),
			Fix: "run cluster-node.yml again, which makes it one; " +
				"or put config.json.bak.<timestamp> in its place, then run this again",
		})
	}
	return problems.Err()
}

// handMade refuses to make a standalone server of a home with links to the share
// that are not ours: ours are those of which something is known.
func (c *cutover) handMade(ctx context.Context, now home.Config, standing home.Standing, known listing) (problems problem.List) {
	for _, t := range home.AllTrees(c.Home, c.rollbackShare(ctx, now, standing.Entries)) {
		if _, ours := known[t.Link]; leads(t) && !ours {
			problems = append(problems, problem.Problem{
				What: "a link that cluster-node.yml has not made",
				At:   t.Link,
				Fix: "take this node out by hand: stop its server, " +
					"put its own folder in the place of this link, and config.json.bak.<timestamp> in that of config.json",
			})
		}
	}
	return problems
}

// planApart plans config.json first and the databases last.
func (c *cutover) planApart(ctx context.Context, now home.Config, standing home.Standing) error {
	known, err := c.readListing()
	if err != nil {
		return err
	}
	was, err := c.readBefore()
	if err != nil {
		return err
	}
	problems := c.handMade(ctx, now, standing, known)
	problems.Add(c.planConfigBack(ctx, now))
	for _, t := range home.AllTrees(c.Home, c.rollbackShare(ctx, now, standing.Entries)) {
		s, needed, err := backStep(t)
		problems.Add(err)
		names, ours := known[t.Link]
		switch {
		case needed:
			c.plan = append(c.plan, s)
		case err != nil || !ours || !leads(t):
		case len(names) > 0:
			problems = append(problems, problem.Problem{
				What: "the folder that this server had of its own is gone; it was set aside here",
				At:   t.Aside(),
				Fix:  "put it back from a backup of the node, or make an empty folder there, and run again",
			})
		default:
			c.plan = append(c.plan, step{
				what: "remove the link " + t.Link, event: home.ConfigFreed, data: map[string]any{"link": t.Link},
				do: func() error { return unlink(t) },
			})
		}
	}
	problems.Add(c.planKeysBack(ctx, was.Keys))
	c.planDatabasesBack(was.Databases)
	return problems.Err()
}
