package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
)

// toStandalone makes the home a standalone server's again. It works without
// the share: links are read, never followed.
func (c *cutover) toStandalone(ctx context.Context) error {
	now, err := c.Config(ctx)
	if err != nil && !missing(c.ConfigPath()) {
		return err
	}
	standing, err := c.Standing()
	if err != nil {
		return err
	}
	if err := furtherNode(standing, c.Home); err != nil {
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
	if len(c.plan) == 0 && standing.Begun == "" && standing.Cutover != home.ToCluster {
		c.reply.Msg = "the home is standalone already"
		return nil
	}
	if c.mode.Check {
		c.reply.Msg = "the home would be made standalone"
		return c.othersWork(ctx, now)
	}
	return c.goBack(ctx, now, standing)
}

// goBack carries the plan out.
func (c *cutover) goBack(ctx context.Context, now home.Config, standing home.Standing) error {
	if c.LiveNodes { // Ansible does not show warnings of check modes
		if err := c.othersWork(ctx, now); err != nil {
			return err
		}
	}
	// A run that goes on keeps what the first one found; see cidx_backup, ownWrites.
	if standing.Begun != home.ToStandalone {
		if err := c.note(home.ConfigBegun, map[string]any{"config_was": now.StorageMode}); err != nil {
			return err
		}
	}
	if err := c.apply(ctx); err != nil {
		return err
	}
	c.reply.Msg = "the home is standalone"
	c.reach("write the journal")
	return c.note(home.ConfigDone, nil)
}

// noWayBack is the problem of a cluster node of which only the links are left: one
// that was migrated, or a further one, which has nothing to go back to.
func (c *cutover) noWayBack() error {
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
func (c *cutover) sharesLinks(now home.Config) bool {
	mount, err := c.MountPoint(now)
	if err != nil {
		return true
	}
	for _, t := range home.AllTrees(c.Home, mount) {
		if t.Name == cidx.GoldenRepos && leads(t) {
			return true
		}
	}
	return false
}

// leads reports whether a tree is a link to the share, without asking the share.
func leads(t home.Tree) bool {
	to, err := os.Readlink(t.Link)
	return err == nil && to == t.Target
}

// planStandalone plans config.json first and the links last: a standalone
// server works through the links, a cluster node without them does not.
func (c *cutover) planStandalone(ctx context.Context, now home.Config, standing home.Standing) error {
	problems := c.lost(standing)
	problems.Add(c.planConfigBack(ctx, now))
	var back []home.Tree
	for _, t := range home.AllTrees(c.Home, c.rollbackShare(ctx, now, standing.Entries)) {
		s, needed, err := backStep(t)
		problems.Add(err)
		if needed {
			c.plan, back = append(c.plan, s), append(back, t)
		}
	}
	problems.Add(c.complete(ctx, back))
	return problems.Err()
}

// rollbackShare is the share that our links lead to: what the configuration
// says, else the copy kept of it, else the journal.
func (c *cutover) rollbackShare(ctx context.Context, now home.Config, entries []journal.Entry) string {
	if mount, err := c.MountPoint(now); err == nil {
		return mount
	}
	if kept, err := home.ReadConfig(ctx, c.State().ClusterConfig()); err == nil {
		if mount, err := c.MountPoint(kept); err == nil {
			return mount
		}
	}
	for _, e := range entries {
		if target, ok := e.Data["target"].(string); ok && e.Module == home.ConfigModule {
			return filepath.Dir(target)
		}
	}
	return ""
}

// planConfigBack restores config.json.pre-cluster. A run that was stopped before
// its backup has none yet; it is made then.
func (c *cutover) planConfigBack(ctx context.Context, now home.Config) error {
	if now.Path != "" && !now.Cluster() {
		return nil // standalone already, perhaps by the three commands
	}
	before, err := c.standaloneConfig(ctx, now)
	if err != nil {
		return err
	}
	if before.StorageMode != cidx.ModeSQLite {
		return problem.Problem{What: fmt.Sprintf("storage_mode is %q: not a standalone configuration", before.StorageMode), At: before.Path, Fix: "put a standalone configuration there (config.json.bak.<timestamp> of cluster-join.sh)"}
	}
	if now.Path == "" {
		now.Path = c.ConfigPath()
	} else if s, needed := c.keepStep(now); needed {
		c.plan = append(c.plan, s)
	}
	if !bytes.Equal(now.Raw, before.Raw) {
		if problems := c.replaceable(); len(problems) > 0 {
			return problems
		}
		c.plan = append(c.plan, c.replaceStep(now, before.Raw, "restore config.json from config.json.pre-cluster"))
	}
	return nil
}

// standaloneConfig reads config.json.pre-cluster, or plans to write it.
func (c *cutover) standaloneConfig(ctx context.Context, now home.Config) (home.Config, error) {
	path := c.ConfigPath() + home.PreCluster
	if !missing(path) {
		return home.ReadConfig(ctx, path)
	}
	if now.Path == "" {
		return now, problem.Problem{What: "no such file", At: path, Fix: "restore a standalone configuration (config.json.bak.<timestamp> of cluster-join.sh) under this name"}
	}
	raw, from, err := home.Standalone(ctx, now)
	if err != nil {
		return now, err
	}
	c.plan = append(c.plan, step{what: "write config.json.pre-cluster (from " + from + ")", event: "kept", do: func() error {
		info, err := os.Stat(now.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a further node may have none yet
			return fmt.Errorf("write config.json.pre-cluster: %w", err)
		}
		return durable.Write(path, raw, info)
	}})
	return home.ParseConfig(ctx, path, raw)
}

// backStep plans how a tree's folder comes back.
func backStep(t home.Tree) (step, bool, error) {
	back := step{
		what: fmt.Sprintf("remove the link %s and rename %s back", t.Link, t.Aside()), event: home.ConfigFreed,
		data: map[string]any{"link": t.Link}, do: func() error { return moveBack(t) }, undo: func() error { return moveAndLink(t) },
	}
	aside, err := os.Lstat(t.Aside())
	if errors.Is(err, fs.ErrNotExist) {
		return step{}, false, nil // never moved, or linked by somebody else before us
	}
	if err != nil {
		return step{}, false, fmt.Errorf("look at %s: %w", t.Aside(), err)
	}
	if !aside.IsDir() {
		return step{}, false, problem.Problem{What: "not a folder", At: t.Aside(), Fix: "it should be the standalone folder; find out what happened to it"}
	}
	link, err := os.Lstat(t.Link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return back, true, nil
	case err != nil:
		return step{}, false, fmt.Errorf("look at %s: %w", t.Link, err)
	case link.IsDir():
		return step{}, false, problem.Problem{What: "two folders: this one and its backup", At: t.Link, Fix: "find out which one holds the server's data, and move the other one away"}
	case link.Mode()&fs.ModeSymlink == 0:
		return step{}, false, problem.Problem{What: "not a link", At: t.Link, Fix: "move it away"}
	}
	if to, err := os.Readlink(t.Link); err != nil || to != t.Target {
		return step{}, false, problem.Problem{What: fmt.Sprintf("a link to %q, not to %s", to, t.Target), At: t.Link, Fix: "if it is ours, name the share in cidx_share; else move it away"}
	}
	return back, true, nil
}

// complete refuses a rollback after which CIDX would delete repositories: each
// row of the standalone registry has to be in the folders that come back. Rows
// can be missing there when the standalone server was started by hand while
// the links led to the share.
func (c *cutover) complete(ctx context.Context, back []home.Tree) error {
	moves := map[string]string{}
	var share string
	for _, t := range back {
		if t.Name == cidx.GoldenRepos {
			moves[t.Link], moves[t.Target], share = t.Aside(), t.Aside(), t.Target
		}
	}
	if len(moves) == 0 || missing(cidx.ServerDatabase(c.Home)) {
		return nil
	}
	known, err := c.Registry(ctx)
	if err != nil {
		return err
	}
	var problems problem.List
	for _, r := range known.Repos {
		path := repath.Rewrite(r.ClonePath, moves)
		if path == r.ClonePath || !missing(path) || newestSnapshot(moves[share], r.Alias) != "" {
			continue
		}
		problems = append(problems, problem.Problem{
			What: "repository " + r.Alias + " is registered in SQLite, but not in the standalone folder", At: path,
			Fix: "it was added after the migration; copy it from the share: rsync -a " + share + "/" + r.Alias + " " + moves[share] + "/",
		})
	}
	return problems.Err()
}

// missing reports whether nothing lies at path; an error of looking is no such
// answer.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
