package config

import (
	"context"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/further"
	"cidx-cluster/modules/cidx_config/proof"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// toCluster makes the home a cluster node's.
func (c *request) toCluster(ctx context.Context) error {
	found, err := c.find(ctx)
	if err != nil {
		return err
	}
	if err := c.planCluster(found); err != nil {
		return err
	}
	if c.Mode.Check {
		c.reply.Msg = "the home would be switched to the cluster"
		return c.rehearse(ctx, found)
	}
	if len(c.Plan) == 0 && found.Standing.Migrated() {
		c.reply.Msg = "the home is a cluster node's already"
		return nil
	}
	return c.switchOver(ctx, found)
}

func (c *request) find(ctx context.Context) (cutover.Found, error) {
	found, err := c.Find(ctx, c.args.DSN)
	c.unfinished = found.Standing.Unfinished()
	return found, err
}

// switchOver performs the plan. Nothing is changed before everything is proven
// to be on the share, and the databases to be as they were taken. Whether the
// trees are as they were copied proveDone looks, when nobody can reach them by
// their old paths any more.
func (c *request) switchOver(ctx context.Context, found cutover.Found) error {
	if err := found.Connect(ctx); err != nil {
		return err
	}
	defer found.Close(ctx)
	if err := c.prove(ctx, found, false); err != nil {
		return err
	}
	if err := c.KeepListing(found.Trees); err != nil {
		return err
	}
	if err := c.Begin(found.Now); err != nil {
		return err
	}
	if err := c.Apply(ctx); err != nil {
		return err
	}
	// And once more the way the server will see it, through the links.
	if err := c.prove(ctx, found, true); err != nil {
		return c.Undo(err)
	}
	if err := c.compare(ctx); err != nil {
		return err
	}
	for _, t := range found.Trees {
		progress.Line(ctx, "  %s -> %s", c.Rel(t.Link), t.Target)
	}
	c.reply.Msg = "the home is a cluster node's"
	return c.End()
}

// prove proves all that a cut-over rests on; done tells whether it is done.
func (c *request) prove(ctx context.Context, found cutover.Found, done bool) (err error) {
	if err := nodes.Alone(ctx, found.Conn, found.Kept.NodeID, found.Where); err != nil {
		return err
	}
	if c.claims, err = proof.Share(ctx, c.Common, found, done); err != nil {
		return err
	}
	return proof.Still(ctx, c.Common, found, done, false)
}

// rehearse looks at what can be known before files and rows are there.
func (c *request) rehearse(ctx context.Context, found cutover.Found) error {
	for _, t := range found.Lacking() {
		c.unchecked = append(c.unchecked, t+" is not there yet; repositories and aliases would be checked after the copy")
	}
	if len(c.unchecked) > 0 {
		return nil
	}
	if err := found.Connect(ctx); err != nil {
		return err
	}
	defer found.Close(ctx)
	err := nodes.Alone(ctx, found.Conn, found.Kept.NodeID, found.Where)
	if err == nil {
		c.claims, err = proof.Claimed(ctx, found, false)
	}
	if err != nil {
		return err
	}
	if c.claims.Empty != nil {
		c.unchecked = append(c.unchecked, "golden_repos_metadata is empty; its paths would be checked after the load")
	}
	problems, err := c.claims.Judge(ctx, c.Common, found)
	for _, p := range problems {
		c.unchecked = append(c.unchecked, p.At+": "+p.What+"; would be checked again after the copy")
	}
	return err
}

// proveDone is for the moment before the start of a server that was cut over. As
// long as it was not started since, what somebody has written to the standalone
// files is in no cluster: the cut-over is taken back then.
func (c *request) proveDone(ctx context.Context) error {
	found, err := c.find(ctx)
	if err != nil || !found.Standing.Migrated() {
		c.reply.Msg = "no cut-over was done"
		return err
	}
	c.reply.Msg = "the cut-over stands"
	if c.Mode.Check {
		return nil
	}
	if err := found.Connect(ctx); err != nil {
		return err
	}
	defer found.Close(ctx)
	ran, err := proof.HasRun(ctx, c.Common, found)
	if err != nil {
		return err
	}
	if ran {
		return proof.LoadStands(ctx, c.Common, found)
	}
	cause := proof.Still(ctx, c.Common, found, true, true)
	if cause == nil {
		return nil
	}
	for _, t := range found.Trees {
		if t.Kept && t.State == home.LinkInPlace {
			c.Plan = append(c.Plan, cutover.TakeBack(t.Tree))
		}
	}
	return c.Undo(cause)
}

// planCluster plans links first and config.json last: with the old mode the
// server works on either tree. A home whose trees are links that an earlier cut-over
// has made, while what it set aside is gone, has nothing to migrate from, and a node
// that works must not be stopped for it.
func (c *request) planCluster(found cutover.Found) error {
	problems := problem.Of(further.Refuse(found.Standing, c.Home))
	if !found.Standing.Migrated() {
		problems = append(problems, c.Lost(found.Standing)...)
		problems = append(problems, c.Replaceable()...)
	}
	for _, t := range found.Trees {
		before := len(c.Plan)
		problems.Add(c.Add(cutover.Link(t)))
		if c.Mode.Diff && len(c.Plan) > before {
			c.Diff = append(c.Diff, ansible.Diff{
				BeforeHeader: t.Link, AfterHeader: t.Link, Before: "folder\n", After: "link to " + t.Target + "\n",
			})
		}
	}
	edits, err := cutover.ClusterEdits(found, c.args.NodeID)
	problems.Add(err)
	if err == nil {
		problems.Add(c.Edit(found.Now, edits))
	}
	return problems.Err()
}

// compare plans again: nothing may be left to do.
func (c *request) compare(ctx context.Context) error {
	again := newRequest(c.args, ansible.Mode{Check: true}, nil)
	found, err := again.find(ctx)
	if err != nil {
		return err
	}
	if err := again.planCluster(found); err != nil {
		return err
	}
	return again.NothingLeft()
}
