package further

import (
	"context"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// Leave takes a further node out of the cluster: what the server had of its own
// comes back, and nothing of the cluster is touched. It works without the share.
func (n Node) Leave(ctx context.Context) (ansible.Reply, error) {
	standing, err := n.Standing()
	if err != nil {
		return ansible.Reply{}, err
	}
	ours := standing.Cutover == home.ToNode || standing.Begun == home.ToNode || standing.Begun == home.Apart
	reply := ansible.Reply{Data: map[string]any{"stop": ours, "unfinished": standing.Unfinished()}}
	now, err := n.Config(ctx)
	if err != nil && !cutover.Missing(n.ConfigPath()) {
		return reply, err
	}
	switch {
	case standing.Cutover == home.ToCluster || standing.Begun == home.ToCluster || standing.Begun == home.ToStandalone:
		return reply, problem.Problem{What: "this server was migrated itself: it is no further node", At: n.Home,
			Fix: "take it back with cluster-rollback.yml"}
	case !ours:
		reply.Msg = "this home is no node that cluster-node.yml has added"
		return reply, n.notOurs(ctx, now, standing)
	}
	if err := n.planApart(ctx, now, standing); err != nil {
		return reply, err
	}
	if n.Mode.Check {
		reply.Msg = "the home would be taken out of the cluster"
		n.Plan = append(n.Plan, cutover.Step{Name: "remember that this home is no node"})
		return reply, nil
	}
	reply.Msg = "the home is out of the cluster"
	return reply, n.leave(ctx, standing)
}

// leave carries the plan out.
func (n Node) leave(ctx context.Context, standing home.Standing) error {
	if err := n.rests(ctx); err != nil {
		return err
	}
	if standing.Begun != home.Apart {
		if err := n.Note(home.ConfigBegun, nil); err != nil {
			return err
		}
	}
	if err := n.Apply(ctx); err != nil {
		return err
	}
	n.Done = append(n.Done, "remember that this home is no node")
	if err := n.End(); err != nil {
		return err
	}
	n.Reach("remove the copy of the keys")
	return cutover.Remove(n.beforePath()) // killed before, it is replaced when this home becomes a node again
}

// notOurs refuses to let a server start that would be standalone only by its name.
func (n Node) notOurs(ctx context.Context, now home.Config, standing home.Standing) error {
	if !now.Cluster() {
		return nil
	}
	problems := n.handMade(ctx, now, standing, cutover.Listing{})
	if len(problems) == 0 && standing.Unfinished() {
		problems.Add(problem.Problem{
			What: "this server was joined and is no node yet: it was stopped, and would start on what it has not got",
			At:   n.ConfigPath(),
			Fix: "run cluster-node.yml again, which makes it one; " +
				"or put config.json.bak.<timestamp> in its place, then run this again",
		})
	}
	return problems.Err()
}

// handMade refuses to make a standalone server of a home with links to the share
// that are not ours: ours are those of which something is known.
func (n Node) handMade(
	ctx context.Context, now home.Config, standing home.Standing, known cutover.Listing,
) (problems problem.List) {
	for _, t := range n.WayBack(ctx, now, standing) {
		if _, ours := known[t.Link]; cutover.Leads(t) && !ours {
			problems = append(problems, problem.Problem{What: "a link that cluster-node.yml has not made", At: t.Link,
				Fix: "take this node out by hand: stop its server, " +
					"put its own folder in the place of this link, and config.json.bak.<timestamp> in that of config.json"})
		}
	}
	return problems
}

// planApart plans config.json first and the databases last.
func (n Node) planApart(ctx context.Context, now home.Config, standing home.Standing) error {
	known, err := n.ReadListing()
	if err != nil {
		return err
	}
	was, err := n.readBefore()
	if err != nil {
		return err
	}
	problems := n.handMade(ctx, now, standing, known)
	problems.Add(n.ConfigBack(ctx, now))
	for _, t := range n.WayBack(ctx, now, standing) {
		s, needed, err := cutover.Back(t)
		problems.Add(err)
		names, ours := known[t.Link]
		switch {
		case needed:
			n.Plan = append(n.Plan, s)
		case err != nil || !ours || !cutover.Leads(t):
		case len(names) > 0:
			problems = append(problems, problem.Problem{What: "the folder that this server had of its own is gone; it was set aside here",
				At: t.Aside(), Fix: "put it back from a backup of the node, or make an empty folder there, and run again"})
		default:
			n.Plan = append(n.Plan, cutover.Unlink(t))
		}
	}
	problems.Add(n.planKeysBack(ctx, was.Keys))
	n.planDatabasesBack(was.Databases)
	return problems.Err()
}
