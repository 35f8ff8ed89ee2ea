package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/seal"
	"cidx-cluster/modules/internal/service"
)

// joining is one call that makes a home a further node of a cluster.
type joining struct {
	*cutover
	of       shared // what a node that works has told
	given    handed
	patience time.Duration // for the marker
	plain    bool          // tests: the share is a plain folder
}

// join does it. Everything is proven before anything is changed: what this node
// has and the cluster has not is not merged, and what it does not find on the
// share it would delete.
func (j *joining) join(ctx context.Context) error {
	if err := j.hear(ctx); err != nil {
		return err
	}
	found, err := j.find(ctx)
	if err != nil {
		return err
	}
	problems := j.fits(ctx, found)
	problems.Add(j.planNode(ctx, found))
	j.reply.Data = map[string]any{"registered": list(j.cutover.found.names), "stop": len(j.plan) > 0, "node_id": j.nodeID(found)}
	switch {
	case len(problems) > 0:
		return problems
	case len(j.plan) == 0 && found.standing.Node():
		j.reply.Msg = "this home is a node of the cluster already"
		return nil
	case j.mode.Check:
		j.reply.Msg = "the home would become a node of the cluster"
		j.plan = append(j.plan, step{what: "remember that this home is a node"})
		return nil
	}
	return j.become(ctx, found)
}

// hear opens what the other node has told.
func (j *joining) hear(ctx context.Context) error {
	if err := decode(j.Cluster, &j.of); err != nil {
		return err
	}
	if err := seal.Open(j.Seal, j.of.Sealed, &j.given); err != nil {
		return notShared(err.Error())
	}
	for _, raw := range j.given.Keys {
		keepKey(ctx, raw)
	}
	return nil
}

// become carries the plan out.
func (j *joining) become(ctx context.Context, found situation) error {
	if len(j.plan) > 0 {
		if err := j.rests(ctx); err != nil {
			return err
		}
	}
	if !found.standing.Node() && !j.resumed {
		if err := errors.Join(j.keepListing(found.trees), j.keepBefore(ctx)); err != nil {
			return err
		}
		if err := j.note(home.ConfigBegun, map[string]any{"config_was": found.now.StorageMode}); err != nil {
			return err
		}
	}
	if err := j.apply(ctx); err != nil {
		return err
	}
	// And once more the way the server will see it, through the links.
	conn, where, err := j.connect(ctx, found)
	if err == nil {
		defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
		err = j.onShare(ctx, found, database{conn, where}, true)
	}
	if err != nil {
		return j.undo(err, j.plan)
	}
	if err := j.again(ctx); err != nil {
		return err
	}
	for _, t := range found.trees {
		progress.Line(ctx, "  %s -> %s", rel(j.Home, t.Link), t.Target)
	}
	j.done = append(j.done, "remember that this home is a node")
	j.reply.Msg = "the home is a node of the cluster"
	j.reach("write the journal")
	return j.note(home.ConfigDone, nil)
}

// rests proves that nothing of a server works on the home.
func (c *cutover) rests(ctx context.Context) error {
	problems := problem.Of(service.StillStopped(ctx, c.Common))
	for _, p := range problem.Of(c.nobodyWrites()) {
		p.Fix = "end that process, and keep it from coming back; then run cluster-node.yml again as it was called"
		problems = append(problems, p)
	}
	return problems.Err()
}

// again plans once more: nothing may be left to do.
func (j *joining) again(ctx context.Context) error {
	twin := &joining{cutover: &cutover{args: j.args, mode: ansible.Mode{Check: true}}, of: j.of, given: j.given}
	found, err := twin.find(ctx)
	if err == nil {
		err = twin.planNode(ctx, found)
	}
	if err != nil {
		return err
	}
	return twin.nothingLeft()
}

// find looks at the home. It may have no config.json yet.
func (j *joining) find(ctx context.Context) (situation, error) {
	var s situation
	var err error
	if s.standing, err = j.Standing(); err != nil {
		return s, err
	}
	j.unfinished, j.resumed = s.standing.Unfinished(), s.standing.Begun == home.ToNode
	if err := otherWay(s.standing, j.Home); err != nil {
		return s, err
	}
	if s.now, err = j.configNow(ctx); err != nil {
		return s, err
	}
	if s.kept, err = j.wanted(ctx, s.now); err != nil {
		return s, err
	}
	if j.share, err = j.MountPoint(s.kept); err != nil {
		return s, err
	}
	if err := alive(ctx, j.share); err != nil {
		return s, err
	}
	s.layout = home.Layout{Home: j.Home, Share: j.share, Kind: "assumed"}
	if slices.Contains(j.of.Trees, "data/golden-repos") {
		s.layout.Kind = "real"
	}
	s.layout.Trees = slices.DeleteFunc(home.AllTrees(j.Home, j.share), func(t home.Tree) bool {
		return !slices.Contains(j.of.Trees, rel(j.Home, t.Link))
	})
	s.trees, err = lookAt(s.layout.Trees)
	return s, err
}

// working reports whether this home is set up as a node already, by whomever.
func (j *joining) working(found situation) bool {
	return found.now.Cluster() && linkedAll(found)
}

// planNode plans databases and folders first and config.json last: with the old
// mode, or a part of the links, nothing starts (the journal says that it is begun).
func (j *joining) planNode(ctx context.Context, found situation) error {
	var problems problem.List
	if !found.standing.Node() {
		problems = append(problems, j.replaceable()...)
		_, err := j.standaloneConfig(ctx, found.now)
		problems.Add(err)
	}
	if !j.working(found) && !found.standing.Node() {
		problems.Add(j.planDatabasesAside())
	}
	for _, t := range found.trees {
		s, needed, err := linkStep(t)
		if t.state == home.LinkMissing && !t.aside {
			s, needed, err = newLink(t.Tree), true, nil
		}
		problems.Add(err)
		if needed {
			j.plan = append(j.plan, s)
		}
	}
	problems.Add(j.planKeys(ctx))
	problems.Add(j.editConfig(found))
	return problems.Err()
}

// newLink makes a link where nothing was.
func newLink(t home.Tree) step {
	return step{
		what: "link " + t.Link + " to " + t.Target, event: home.ConfigLinked, data: map[string]any{"link": t.Link, "target": t.Target},
		do: func() error {
			if err := durable.MakeFolder(filepath.Dir(t.Link)); err != nil {
				return err
			}
			return moveAndLink(t)
		}, undo: func() error { return unlink(t) },
	}
}

// unlink removes a link of ours that has no folder set aside.
func unlink(t home.Tree) error {
	if err := dropSpare(t); err != nil || missing(t.Link) {
		return err
	}
	if to, err := os.Readlink(t.Link); err != nil || to != t.Target {
		return problem.Problem{What: fmt.Sprintf("not a link of ours: %q", to), At: t.Link, Fix: "move it away"}
	}
	return removeSynced(t.Link)
}

// otherWay refuses homes that are on another way.
func otherWay(s home.Standing, at string) error {
	switch {
	case s.Begun == home.Apart:
		return problem.Problem{
			What: "a way out of the cluster was interrupted",
			At:   at,
			Fix:  "finish it: cluster-node.yml with -e cidx_node_state=absent; then add the node again",
		}
	case s.Cutover == home.ToCluster || s.Begun == home.ToCluster || s.Begun == home.ToStandalone:
		return problem.Problem{
			What: "this server was migrated itself, or is about to be",
			At:   at,
			Fix:  "leave it as it is (cluster-verify.yml), or undo that first with cluster-rollback.yml",
		}
	}
	return nil
}

// furtherNode refuses to treat a further node as the server that was migrated.
func furtherNode(s home.Standing, at string) error {
	if s.Cutover != home.ToNode && s.Begun != home.ToNode && s.Begun != home.Apart {
		return nil
	}
	return problem.Problem{
		What: "this server is a further node of a cluster: nothing of it was migrated",
		At:   at,
		Fix:  "verify it with cluster-verify.yml, or take it out with cluster-node.yml -e cidx_node_state=absent",
	}
}
