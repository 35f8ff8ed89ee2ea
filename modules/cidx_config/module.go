// Package config is the module cidx_config: the cut-over, and its way back.
//
// cluster: each tree's folder is renamed to <name>.pre-cluster and a link to
// the share takes its place; config.json gets the cluster's values. Before
// anything is changed it is proven, as the service user, that every registered
// repository and every alias leads to a folder on the share: CIDX deletes what
// it cannot find. standalone: the reverse. node: the same for a further node of a
// cluster, with what a working node of it (shared) hands over; apart: its reverse.
//
// A backup is never overwritten, a link is removed only when it is ours, only
// the values that differ are written to config.json, and host and port never.
// What fails is undone; what is killed is finished by asking again.
//
// accepted: gives the reverse up. The decision is on disk before anything is
// removed; what is removed are the standalone folders and our own copies only.
package config

import (
	"context"
	"maps"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
	"cidx-cluster/modules/internal/share"
)

type args struct {
	home.Common
	Wanted    string         `arg:"state" required:"true" choices:"cluster,proven,accepted,standalone,shared,unshared,node,apart" doc:"C(cluster) makes the server a cluster node. C(proven), directly before the start, looks whether that still stands: what somebody has written to the standalone files since takes it back. C(accepted) makes the migration final: it removes everything that only C(standalone) would need, after it has proven that the cluster node is online and the share has all that is registered; from then on C(standalone) is refused. C(standalone) makes the server standalone again. C(shared), on a node that works, tells what a further one has to share with it, the secrets of it closed with I(seal), and leaves a file on the share by which that node knows it; C(unshared) takes the file away. C(node) makes the server a further node, with I(cluster) from C(shared). C(apart) undoes C(node)."`
	DSN       string         `arg:"postgres_dsn" secret:"true" doc:"PostgreSQL connection string. Default: C(postgres_dsn) of C(config.json), or of the copy kept after a rollback."`
	NodeID    string         `arg:"node_id" doc:"C(cluster.node_id), unique in the cluster. Default: the one cluster-join.sh gave."`
	Cluster   map[string]any `arg:"cluster" doc:"With C(state=node) and C(state=unshared): C(cluster) of the reply of C(state=shared)."`
	Seal      string         `arg:"seal" secret:"true" doc:"Key that closes what passes from node to node. The action plugin puts that of its run in the place of whatever stands here."`
	LiveNodes bool           `arg:"live_nodes" default:"false" doc:"With C(state=standalone): go back also while other nodes of the cluster are online."`
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
		Check:   "Tells every rename, link and edit, and every problem that can be known before the files are on the share.",
		Returns: returns(),
		Example: `- name: Switch to the cluster
  cidx.cluster.cidx_config:
    home: /home/cidx/.cidx-server
    state: cluster`,
	}, func(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
		secret.KeepDSN(ctx, a.DSN)
		if a.Wanted == home.ToStandalone || a.Wanted == home.Apart {
			return (&cutover{args: a, mode: mode}).run(ctx) // they do without the share
		}
		// A cut-over that hangs on the share ends as if it had been killed there.
		lost := ansible.Reply{Changed: !mode.Check}
		return share.Guard(ctx, share.Watch{Mount: a.KnownMount(ctx)}, lost, func(ctx context.Context) (ansible.Reply, error) {
			c := &cutover{args: a, mode: mode}
			switch a.Wanted {
			case accepted:
				return (&acceptance{cutover: c}).run(ctx)
			case sharing, unsharing:
				return (&first{*c}).run(ctx)
			}
			return c.run(ctx)
		})
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
	sharing   = "shared"
	unsharing = "unshared"
)

// cutover is one call.
type cutover struct {
	args
	mode  ansible.Mode
	share string
	reply ansible.Reply

	unfinished bool // an earlier run was
	resumed    bool // a call that was interrupted on its way goes on
	loaded     bool // as home.Standing has it
	plan       []step
	done       []string // of plan, told so far
	unchecked  []string
	found      proof

	// reached, if set, is called before each change; tests stop there.
	reached func(what string)
}

// step is one change: do, and undo where it can be undone.
type step struct {
	what  string
	event string // of the journal
	data  map[string]any
	do    func() error
	undo  func() error
}

func (c *cutover) run(ctx context.Context) (ansible.Reply, error) {
	var err error
	switch c.Wanted {
	case home.ToStandalone:
		err = c.toStandalone(ctx)
	case proven:
		c.Wanted = home.ToCluster // in the journal
		err = c.proveDone(ctx)
	case home.ToNode:
		err = (&joining{cutover: c, patience: markerPatience}).join(ctx)
	case home.Apart:
		err = c.toApart(ctx)
	default:
		err = c.toCluster(ctx)
	}
	told := []string{}
	for _, s := range c.plan {
		if c.mode.Check {
			told = append(told, s.what)
		}
	}
	if !c.mode.Check {
		told = append(told, c.done...)
	}
	c.reply.Changed = len(told) > 0
	own := c.reply.Data
	c.reply.Data = map[string]any{"plan": told, "unchecked": list(c.unchecked), "unfinished": c.unfinished, "loaded": c.loaded, "repositories": c.found.repos, "aliases": c.found.aliases}
	maps.Copy(c.reply.Data, own)
	if err != nil {
		c.reply.Msg = ""
	}
	return c.reply, err
}

// note adds a line to the journal.
func (c *cutover) note(event string, data map[string]any) error {
	if data == nil {
		data = map[string]any{}
	}
	data["state"] = c.Wanted
	return journal.Append(c.State().Journal(), home.ConfigModule, event, data)
}

// apply performs the plan. When a step fails, those before it are undone, so
// that a failed cut-over leaves what it found.
func (c *cutover) apply(ctx context.Context) error {
	for i, s := range c.plan {
		err := ctx.Err()
		if err == nil {
			c.reach(s.what)
			err = s.do()
		}
		if err == nil {
			c.done = append(c.done, s.what)
			err = c.note(s.event, s.data)
		}
		if err != nil {
			return c.undo(err, c.plan[:i+1])
		}
	}
	return nil
}

// undo takes back the steps that were done, last first.
func (c *cutover) undo(cause error, steps []step) error {
	problems := problem.Of(cause)
	half := false
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].undo == nil {
			continue
		}
		if err := steps[i].undo(); err != nil {
			problems.Add(err)
			half = true
		}
	}
	if half || c.resumed { // what an earlier call has done is not in steps
		fix := "run cluster-migrate.yml again to finish it, or cluster-rollback.yml to undo it"
		if c.Wanted == home.ToNode || c.Wanted == home.Apart {
			fix = "run cluster-node.yml again as it was called to finish it, or with -e cidx_node_state=absent to undo it"
		}
		return append(problems, problem.Problem{What: "the change stays half done", At: c.Home, Fix: fix + "; do not start the server by hand"})
	}
	c.done = nil
	problems.Add(c.note(home.ConfigUndone, nil))
	return problems
}

func (c *cutover) reach(what string) {
	if c.reached != nil {
		c.reached(what)
	}
}

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
