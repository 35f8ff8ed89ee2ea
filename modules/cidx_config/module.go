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

// args are described in plugins/modules/cidx_config.yml.
type args struct {
	home.Common
	Wanted    string         `arg:"state" required:"true" choices:"cluster,proven,accepted,standalone,shared,unshared,node,apart"`
	DSN       string         `arg:"postgres_dsn" secret:"true"`
	NodeID    string         `arg:"node_id"`
	Cluster   map[string]any `arg:"cluster"`
	Seal      string         `arg:"seal" secret:"true"`
	LiveNodes bool           `arg:"rollback_with_live_nodes" default:"false"`
}

// Module returns cidx_config.
func Module() ansible.Module {
	return ansible.New(ansible.Spec{Name: home.ConfigModule}, func(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
		secret.KeepDSN(ctx, a.DSN)
		c := newRequest(a, mode, nil)
		if a.Wanted == home.ToStandalone || a.Wanted == home.Apart {
			return c.run(ctx) // they do without the share
		}
		// A cut-over that hangs on the share ends as if it had been killed there.
		return share.Guard(ctx, share.Watch{Mount: a.KnownMount(ctx)}, ansible.Reply{Changed: !mode.Check}, c.run)
	})
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
