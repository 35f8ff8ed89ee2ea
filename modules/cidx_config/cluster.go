package config

import (
	"context"
	"path/filepath"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// toCluster makes the home a cluster node's.
func (c *cutover) toCluster(ctx context.Context) error {
	found, err := c.find(ctx)
	if err != nil {
		return err
	}
	if err := c.planCluster(found); err != nil {
		return err
	}
	if c.mode.Check {
		c.reply.Msg = "the home would be switched to the cluster"
		return c.prove(ctx, found, false)
	}
	if len(c.plan) == 0 && found.standing.Migrated() {
		c.reply.Msg = "the home is a cluster node's already"
		return nil
	}
	return c.switchOver(ctx, found)
}

// switchOver performs the plan. Nothing is changed before everything is proven
// to be on the share, and the databases to be as they were taken. Whether the
// trees are as they were copied proveDone looks, when nobody can reach them by
// their old paths any more.
func (c *cutover) switchOver(ctx context.Context, found situation) error {
	if err := c.prove(ctx, found, false); err != nil {
		return err
	}
	if err := c.still(ctx, found, false, false); err != nil {
		return err
	}
	if err := c.keepListing(found.trees); err != nil {
		return err
	}
	if err := c.note(home.ConfigBegun, map[string]any{"config_was": found.now.StorageMode}); err != nil {
		return err
	}
	if err := c.apply(ctx); err != nil {
		return err
	}
	// And once more the way the server will see it, through the links.
	if err := c.prove(ctx, found, true); err != nil {
		return c.undo(err, c.plan)
	}
	if err := c.still(ctx, found, true, false); err != nil {
		return c.undo(err, c.plan)
	}
	if err := c.compare(ctx); err != nil {
		return err
	}
	for _, t := range found.trees {
		progress.Line(ctx, "  %s -> %s", rel(c.Home, t.Link), t.Target)
	}
	c.reply.Msg = "the home is a cluster node's"
	c.reach("write the journal")
	return c.note(home.ConfigDone, nil)
}

// proveDone is for the moment before the start of a server that was cut over. As
// long as it was not started since, what somebody has written to the standalone
// files is in no cluster: the cut-over is taken back then.
func (c *cutover) proveDone(ctx context.Context) error {
	found, err := c.find(ctx)
	if err != nil || !found.standing.Migrated() {
		c.reply.Msg = "no cut-over was done"
		return err
	}
	c.reply.Msg = "the cut-over stands"
	if c.mode.Check {
		return nil
	}
	ran, err := c.hasRun(ctx, found)
	if err != nil {
		return err
	}
	if ran {
		return c.loadStands(ctx, found)
	}
	cause := c.still(ctx, found, true, true)
	if cause == nil {
		return nil
	}
	for _, t := range found.trees {
		if t.aside && t.state == home.LinkInPlace {
			c.plan = append(c.plan, step{what: "take the link " + t.Link + " back", undo: func() error { return moveBack(t.Tree) }})
		}
	}
	return c.undo(cause, c.plan)
}

// situation is what toCluster found.
type situation struct {
	now, kept home.Config
	layout    home.Layout
	trees     []seen
	standing  home.Standing
}

// find reads configuration, layout, links and journal.
func (c *cutover) find(ctx context.Context) (situation, error) {
	var s situation
	var problems problem.List
	var err error
	if s.now, err = c.Config(ctx); err != nil {
		return s, err
	}
	if s.kept, err = c.ClusterConfig(ctx); err != nil {
		return s, err
	}
	if c.share, err = c.MountPoint(s.kept); err != nil {
		return s, err
	}
	if err := alive(ctx, c.share); err != nil {
		return s, err
	}
	if s.standing, err = c.Standing(); err != nil {
		return s, err
	}
	c.unfinished, c.resumed = s.standing.Unfinished(), s.standing.Begun == home.ToCluster
	if s.layout, err = home.Detect(c.Home, c.share); err != nil {
		return s, err
	}
	s.trees, err = lookAt(s.layout.Trees)
	problems.Add(err)
	if s.standing.Begun == home.ToStandalone {
		problems = append(problems, problem.Problem{What: "a rollback was interrupted", At: c.Home, Fix: "finish it with cluster-rollback.yml, then migrate again"})
	}
	return s, problems.Err()
}

// planCluster plans links first and config.json last: with the old mode the
// server works on either tree.
func (c *cutover) planCluster(found situation) error {
	problems := c.lostBefore(found)
	problems.Add(furtherNode(found.standing, c.Home))
	if !found.standing.Migrated() {
		problems = append(problems, c.replaceable()...)
	}
	for _, t := range found.trees {
		s, needed, err := linkStep(t)
		problems.Add(err)
		if !needed || err != nil {
			continue
		}
		c.plan = append(c.plan, s)
		if c.mode.Diff {
			c.reply.Diff = append(c.reply.Diff, ansible.Diff{
				BeforeHeader: t.Link, AfterHeader: t.Link, Before: "folder\n", After: "link to " + t.Target + "\n",
			})
		}
	}
	edits, err := clusterEdits(found.now, found.kept, c.DSN, c.NodeID, c.share)
	problems.Add(err)
	if err == nil {
		s, needed, err := c.editStep(found.now, edits)
		problems.Add(err)
		if needed {
			c.plan = append(c.plan, s)
		}
	}
	return problems.Err()
}

// compare plans again: nothing may be left to do.
func (c *cutover) compare(ctx context.Context) error {
	again := &cutover{args: c.args, mode: ansible.Mode{Check: true}}
	found, err := again.find(ctx)
	if err != nil {
		return err
	}
	if err := again.planCluster(found); err != nil {
		return err
	}
	return again.nothingLeft()
}

// nothingLeft refuses a plan that is not empty.
func (c *cutover) nothingLeft() error {
	if len(c.plan) == 0 {
		return nil
	}
	return problem.Problem{
		What: "still to do after the change: " + c.plan[0].what, At: c.Home,
		Fix: "something else changes this folder; stop it and run again",
	}
}

func rel(home, path string) string {
	if r, err := filepath.Rel(home, path); err == nil {
		return r
	}
	return path
}
