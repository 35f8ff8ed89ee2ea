// Package config is the module cidx_config: the cut-over, and its way back. It is a
// door: cutover changes, proof proves, further knows more nodes, acceptance ends it.
//
// cluster: before anything is changed it is proven, as the service user, that every
// registered repository and every alias leads to a folder on the share: CIDX deletes
// what it cannot find. A backup is never overwritten, a link is removed only when it
// is ours, only the values that differ are written to config.json, and host and port
// never. What fails is undone; what is killed is finished by asking again.
package config

import (
	"context"
	"maps"

	"cidx-cluster/modules/cidx_config/acceptance"
	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/further"
	"cidx-cluster/modules/cidx_config/proof"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/share"
)

type args struct {
	home.Common
	Wanted    string         `arg:"state" required:"true" choices:"cluster,proven,accepted,standalone,shared,unshared,node,apart"`
	DSN       string         `arg:"postgres_dsn" secret:"true" doc:"Connection string. Default: that of C(config.json) or its copy."`
	NodeID    string         `arg:"node_id" doc:"C(cluster.node_id), unique in the cluster. Default: the one cluster-join.sh gave."`
	Cluster   map[string]any `arg:"cluster" doc:"With C(state=node) and C(state=unshared): C(cluster) of the reply of C(state=shared)."`
	Seal      string         `arg:"seal" secret:"true" doc:"Key that closes what passes from node to node; the action plugin's."`
	LiveNodes bool           `arg:"rollback_with_live_nodes" default:"false" doc:"With C(state=standalone): also while others are online."`
}

// Module returns cidx_config.
func Module() ansible.Module {
	return ansible.New(ansible.Doc{
		Name:  home.ConfigModule,
		Short: "Turn a stopped CIDX server into a cluster node, or back",
		Description: []string{
			"Replaces the repositories' folders by links to the share and switches C(config.json), or restores both.",
			"The server must be stopped and the copy complete; every repository and alias is proven to lead to the share first.",
		},
		Arguments: map[string]string{
			"state": "C(cluster) makes the server a cluster node. C(proven), directly before the start, takes that back if somebody has " +
				"written to the standalone files since. C(accepted) makes the migration final: once node and share are proven whole, " +
				"it removes what only C(standalone) would need, which is refused from then on. C(standalone) makes the server " +
				"standalone again. C(shared), on a node that works, tells what a further one has to share with it (secrets closed " +
				"with I(seal)), and leaves a file on the share by which that node knows it; C(unshared) takes the file away. " +
				"C(node) makes the server a further node, with I(cluster) from C(shared). C(apart) undoes C(node).",
		},
		Check:   "Tells every rename, link and edit, and every problem that can be known before the files are on the share.",
		Returns: returns(),
		Example: `- name: Switch to the cluster
  cidx.cluster.cidx_config:
    home: /home/cidx/.cidx-server
    state: cluster`,
	}, func(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
		secret.KeepDSN(ctx, a.DSN)
		c := newRequest(a, mode, nil)
		if a.Wanted == home.ToStandalone || a.Wanted == home.Apart {
			return c.run(ctx) // they do without the share
		}
		// A cut-over that hangs on the share ends as if it had been killed there.
		return share.Guard(ctx, share.Watch{Mount: a.KnownMount(ctx)}, ansible.Reply{Changed: !mode.Check}, c.run)
	})
}

// returns documents the keys of the reply.
func returns() []ansible.Return {
	return []ansible.Return{
		{Name: "plan", Type: "list", Doc: "What was done, or in check mode would be, in order."},
		{Name: "unchecked", Type: "list", Doc: "In check mode: what can only be checked when the files are on the share."},
		{Name: "unfinished", Type: "bool",
			Doc: "Whether an earlier run stopped between the stop of the server and the release of its units."},
		{Name: "loaded", Type: "bool",
			Doc: "With C(state=standalone): whether PostgreSQL may hold a load that no rollback has marked there as given up."},
		{Name: "removed", Type: "list",
			Doc: "With C(state=accepted): what was removed, or in check mode would be: C(path), C(what), C(files), C(bytes)."},
		{Name: "bytes", Type: "int", Doc: "With C(state=accepted): the space that comes free."},
		{Name: "cluster", Type: "dict",
			Doc: "With C(state=shared): what a further node has to share, for its C(cluster). What is secret in it is closed."},
		{Name: "registered", Type: "list", Doc: "With C(state=node): the repositories that the cluster knows now."},
		{Name: "stop", Type: "bool", Doc: "With C(state=node): whether the server has to be stopped for the plan."},
		{Name: "node_id", Type: "str", Doc: "With C(state=node): this node's id in the cluster."},
		{Name: "repositories", Type: "int", Doc: "Registered repositories that were found on the share."},
		{Name: "aliases", Type: "int", Doc: "Aliases whose targets were found on the share."},
	}
}

// States that no journal knows, see args.
const (
	proven    = "proven"
	accepted  = "accepted"
	sharing   = "shared"
	unsharing = "unshared"
)

// request is one call of the module.
type request struct {
	*cutover.Change
	args  args
	reply ansible.Reply

	unfinished bool // an earlier run was
	loaded     bool // as home.Standing has it
	unchecked  []string
	claims     proof.Claims
}

func newRequest(a args, mode ansible.Mode, reached func(string)) *request {
	return &request{args: a, Change: &cutover.Change{Common: a.Common, To: a.Wanted, Mode: mode, Reached: reached}}
}

func (c *request) run(ctx context.Context) (ansible.Reply, error) {
	node := further.Node{Change: c.Change, DSN: c.args.DSN, ID: c.args.NodeID, Cluster: c.args.Cluster, Seal: c.args.Seal}
	var err error
	switch c.args.Wanted {
	case accepted:
		return acceptance.Accept(ctx, c.Change, c.args.DSN)
	case sharing:
		return node.Share(ctx)
	case unsharing:
		return node.Unshare()
	case home.ToNode:
		c.reply, err = node.Join(ctx)
	case home.Apart:
		c.reply, err = node.Leave(ctx)
	case home.ToStandalone:
		err = c.toStandalone(ctx)
	case proven:
		c.To = home.ToCluster // in the journal
		err = c.proveDone(ctx)
	default:
		err = c.toCluster(ctx)
	}
	told, own := c.Told(), c.reply.Data
	c.reply.Changed, c.reply.Diff = len(told) > 0, c.Diff
	c.reply.Data = map[string]any{
		"plan": told, "unchecked": append([]string{}, c.unchecked...), "unfinished": c.unfinished, "loaded": c.loaded,
		"repositories": c.claims.Repos, "aliases": c.claims.Aliases,
	}
	maps.Copy(c.reply.Data, own)
	if err != nil {
		c.reply.Msg = ""
	}
	return c.reply, err
}
