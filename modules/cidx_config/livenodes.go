package config

import (
	"context"
	"fmt"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// nodesDeadline bounds the question for other nodes; PostgreSQL may be the
// reason for a rollback.
const nodesDeadline = 15 * time.Second

// othersWork refuses to begin a way back while other nodes of the cluster are alive,
// unless the operator wants it: they go on with the share and the database, but
// what this node alone had is the standalone server's from now on. A database
// that does not answer is a warning: a rollback does without it.
func (c *cutover) othersWork(ctx context.Context, now home.Config) error {
	config := now
	if !config.Cluster() {
		kept, err := home.ReadConfig(ctx, c.State().ClusterConfig())
		if err != nil {
			return nil // no cluster is known
		}
		config = kept
	}
	dsn := c.DSN
	if dsn == "" {
		dsn = config.DSN
	}
	ctx, cancel := context.WithTimeout(ctx, nodesDeadline)
	defer cancel()
	others, err := othersOf(ctx, dsn, config.NodeID)
	if err != nil {
		c.reply.Warnings = append(c.reply.Warnings, fmt.Sprintf("whether other nodes of the cluster are online is not known (%v)", err))
		return nil
	}
	if len(others) == 0 {
		return nil
	}
	if c.LiveNodes {
		c.reply.Warnings = append(c.reply.Warnings, nodes.Words(others)+": they go on with the cluster's data, which this server leaves")
		return nil
	}
	return problem.Problem{
		What: nodes.Words(others) + ": after the rollback they and this server have different data", At: postgres.WhereDSN(dsn),
		Fix: "stop the servers of those nodes first, or, if they are to go on without this server, run cluster-rollback.yml with -e cidx_rollback_with_live_nodes=yes",
	}
}

func othersOf(ctx context.Context, dsn, own string) ([]nodes.Node, error) {
	conn, err := postgres.Connect(ctx, dsn, home.ConfigModule)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	list, err := nodes.Alive(ctx, conn)
	if err != nil {
		return nil, postgres.Explain(err, postgres.WhereDSN(dsn))
	}
	return nodes.Others(list, own), nil
}
