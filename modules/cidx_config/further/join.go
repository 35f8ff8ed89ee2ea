// Package further makes a server a further node of a cluster to which another one was
// migrated, and takes it out again. A node that works tells what has to be the same;
// everything is proven before anything is changed: what this server has and the
// cluster has not is not merged, and what it does not find on the share it would delete.
package further

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/proof"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/seal"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/share"
)

// Node is a server of the cluster: one that works, or a further one.
type Node struct {
	*cutover.Change
	DSN, ID string         // the operator's words for connection string and node id; "" for the configuration's
	Cluster map[string]any // what the one that works has told
	Seal    string         // opens what is secret in it
	Plain   bool           // tests: the share is a plain folder
}

// joining is one call that makes a home a further node.
type joining struct {
	Node
	of     shared // what a node that works has told
	given  handed
	claims proof.Claims // of the cluster
	reply  ansible.Reply
}

// Join makes the server a node of the cluster.
func (n Node) Join(ctx context.Context) (ansible.Reply, error) {
	j := &joining{Node: n}
	err := j.join(ctx)
	return j.reply, err
}

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
	j.reply.Data = map[string]any{
		"registered": append([]string{}, j.claims.Names...), "stop": len(j.Plan) > 0, "node_id": j.nodeID(found),
		"unfinished": found.Standing.Unfinished(), "repositories": j.claims.Repos, "aliases": j.claims.Aliases,
	}
	switch {
	case len(problems) > 0:
		return problems
	case len(j.Plan) == 0 && found.Standing.Node():
		j.reply.Msg = "this home is a node of the cluster already"
		return nil
	case j.Mode.Check:
		j.reply.Msg = "the home would become a node of the cluster"
		j.Plan = append(j.Plan, cutover.Step{Name: "remember that this home is a node"})
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
func (j *joining) become(ctx context.Context, found cutover.Found) error {
	if len(j.Plan) > 0 {
		if err := j.rests(ctx); err != nil {
			return err
		}
	}
	if !found.Standing.Node() && !j.Resumed {
		if err := errors.Join(j.KeepListing(found.Trees), j.keepBefore(ctx)); err != nil {
			return err
		}
		if err := j.Begin(found.Now); err != nil {
			return err
		}
	}
	if err := j.Apply(ctx); err != nil {
		return err
	}
	// And once more the way the server will see it, through the links.
	err := found.Connect(ctx)
	if err == nil {
		defer found.Close(ctx)
		err = j.onShare(ctx, found, true)
	}
	if err != nil {
		return j.Undo(err)
	}
	if err := j.again(ctx); err != nil {
		return err
	}
	for _, t := range found.Trees {
		progress.Line(ctx, "  %s -> %s", j.Rel(t.Link), t.Target)
	}
	j.Done = append(j.Done, "remember that this home is a node")
	j.reply.Msg = "the home is a node of the cluster"
	return j.End()
}

// rests proves that nothing of a server works on the home.
func (n Node) rests(ctx context.Context) error {
	problems := problem.Of(service.StillStopped(ctx, n.Common))
	problems.Add(service.DatabasesRest(n.Home,
		"end that process, and keep it from coming back; then run cluster-node.yml again as it was called"))
	return problems.Err()
}

// again plans once more: nothing may be left to do.
func (j *joining) again(ctx context.Context) error {
	twin := &joining{Node: j.Node, of: j.of, given: j.given}
	twin.Change = &cutover.Change{Common: j.Common, To: j.To, Mode: ansible.Mode{Check: true}}
	found, err := twin.find(ctx)
	if err == nil {
		err = twin.planNode(ctx, found)
	}
	if err != nil {
		return err
	}
	return twin.NothingLeft()
}

// find looks at the home. It may have no config.json yet.
func (j *joining) find(ctx context.Context) (cutover.Found, error) {
	var f cutover.Found
	var err error
	if f.Standing, err = j.Standing(); err != nil {
		return f, err
	}
	j.Resumed = f.Standing.Begun == home.ToNode
	if err := otherWay(f.Standing, j.Home); err != nil {
		return f, err
	}
	if f.Now, err = j.configNow(ctx); err != nil {
		return f, err
	}
	if f.Kept, err = j.wanted(ctx, f.Now); err != nil {
		return f, err
	}
	f.DSN = cmp.Or(j.DSN, f.Kept.DSN)
	if f.Share, err = j.MountPoint(f.Kept); err != nil {
		return f, err
	}
	if err := share.Alive(ctx, f.Share, share.Deadline); err != nil {
		return f, err
	}
	f.Layout = home.Layout{Home: j.Home, Share: f.Share, Kind: "assumed"}
	if slices.Contains(j.of.Trees, "data/golden-repos") {
		f.Layout.Kind = "real"
	}
	f.Layout.Trees = slices.DeleteFunc(home.AllTrees(j.Home, f.Share), func(t home.Tree) bool {
		return !slices.Contains(j.of.Trees, j.Rel(t.Link))
	})
	f.Trees, err = cutover.LookAt(f.Layout.Trees)
	return f, err
}

// working reports whether this home is set up as a node already, by whomever.
func (j *joining) working(found cutover.Found) bool {
	return found.Now.Cluster() && linkedAll(found)
}

// planNode plans databases and folders first and config.json last: with the old
// mode, or a part of the links, nothing starts (the journal says that it is begun).
func (j *joining) planNode(ctx context.Context, found cutover.Found) error {
	var problems problem.List
	if !found.Standing.Node() {
		problems = append(problems, j.Replaceable()...)
		_, err := j.StandaloneConfig(ctx, found.Now)
		problems.Add(err)
	}
	if !j.working(found) && !found.Standing.Node() {
		problems.Add(j.planDatabasesAside())
	}
	for _, t := range found.Trees {
		if t.State == home.LinkMissing && !t.Kept {
			j.Plan = append(j.Plan, cutover.NewLink(t.Tree))
		} else {
			problems.Add(j.Add(cutover.Link(t)))
		}
	}
	problems.Add(j.planKeys(ctx))
	problems.Add(j.editConfig(found))
	return problems.Err()
}

// otherWay refuses homes that are on another way.
func otherWay(s home.Standing, at string) error {
	switch {
	case s.Begun == home.Apart:
		return problem.Problem{What: "a way out of the cluster was interrupted", At: at,
			Fix: "finish it: cluster-node.yml with -e cidx_node_state=absent; then add the node again"}
	case s.Cutover == home.ToCluster || s.Begun == home.ToCluster || s.Begun == home.ToStandalone:
		return problem.Problem{What: "this server was migrated itself, or is about to be", At: at,
			Fix: "leave it as it is (cluster-verify.yml), or undo that first with cluster-rollback.yml"}
	}
	return nil
}

// Refuse refuses to treat a further node as the server that was migrated.
func Refuse(s home.Standing, at string) error {
	if s.Cutover != home.ToNode && s.Begun != home.ToNode && s.Begun != home.Apart {
		return nil
	}
	return problem.Problem{What: "this server is a further node of a cluster: nothing of it was migrated", At: at,
		Fix: "verify it with cluster-verify.yml, or take it out with cluster-node.yml -e cidx_node_state=absent"}
}
