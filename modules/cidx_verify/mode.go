package verify

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// proveMode asks the node who it is and returns the registry's entries.
func (v *verification) proveMode(ctx context.Context) ([]entry, error) {
	node, err := v.api.CheckHealth(ctx)
	if err != nil {
		v.failed(ctx, "Login", cidxapi.Short(err))
		return nil, err
	}
	v.reply.Data["server_version"], v.reply.Data["node_id"] = node.Version, node.NodeID
	if v.args.Mode == "standalone" {
		return v.proveStandalone(ctx, node.NodeID)
	}
	if node.NodeID != v.config.NodeID {
		v.failed(ctx, "Cluster mode", fmt.Sprintf("the node says %s", orNone(node.NodeID)))
		return nil, problem.Problem{
			What: fmt.Sprintf("the server says node_id %s, config.json says %q", orNone(node.NodeID), v.config.NodeID), At: v.api.Base(),
			Fix: "make sure that the server which answers there is the one of this home, " +
				"and that it was started after config.json was written",
		}
	}
	conn, err := postgres.Connect(ctx, v.dsn(), moduleName)
	if err != nil {
		v.failed(ctx, "Cluster mode", "PostgreSQL cannot be asked")
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read from
	if err := v.awaitHeartbeat(ctx, conn); err != nil {
		v.failed(ctx, "Cluster mode", "no fresh heartbeat")
		return nil, err
	}
	v.passed(ctx, "Cluster mode", "node "+node.NodeID)
	return registryOf(ctx, conn)
}

func (v *verification) proveStandalone(ctx context.Context, node string) ([]entry, error) {
	if node != "" {
		v.failed(ctx, "Standalone mode", "the node says "+orNone(node))
		return nil, problem.Problem{What: fmt.Sprintf("the server says node_id %q, so it runs in cluster mode", node), At: v.api.Base(),
			Fix: "restart the server: it was started before config.json was restored"}
	}
	v.passed(ctx, "Standalone mode", "SQLite, no node id")
	return v.standaloneRegistry(ctx)
}

func orNone(node string) string {
	if node == "" {
		return "none (standalone mode)"
	}
	return fmt.Sprintf("%q", node)
}

func (v *verification) dsn() string {
	return cmp.Or(v.args.DSN, v.config.DSN)
}

// awaitHeartbeat waits until the node's row in cluster_nodes is online with a
// fresh heartbeat; CIDX writes the first one shortly after its start.
func (v *verification) awaitHeartbeat(ctx context.Context, conn *pgconn.PgConn) error {
	limit, cancel := context.WithTimeout(ctx, max(nodes.Fresh, v.patience().answer))
	defer cancel()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		state, err := heartbeat(ctx, conn, v.config.NodeID)
		if err != nil || state == "" {
			return postgres.Explain(err, postgres.WhereDSN(v.dsn()))
		}
		progress.Report(ctx, progress.Status{What: "waiting for the node's heartbeat: " + state})
		select {
		case <-limit.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("wait for the heartbeat: %w", context.Cause(ctx))
			}
			return problem.Problem{What: state, At: "cluster_nodes." + v.config.NodeID,
				Fix: "look into the server's log: it runs, but does not report to PostgreSQL"}
		case <-tick.C:
		}
	}
}

// heartbeat says what is wrong with the node's row, or "".
func heartbeat(ctx context.Context, conn *pgconn.PgConn, node string) (string, error) {
	rows, err := postgres.Read(ctx, conn, `SELECT status, coalesce(extract(epoch FROM clock_timestamp() - last_heartbeat)::int::text, '')
		FROM cluster_nodes WHERE node_id = $1`, node)
	if err != nil {
		return "", fmt.Errorf("read cluster_nodes: %w", err)
	}
	if len(rows) == 0 {
		return "the node has no row", nil
	}
	status, text := string(rows[0][0]), string(rows[0][1])
	age, err := strconv.Atoi(text)
	switch {
	case status != "online":
		return fmt.Sprintf("status is %q, not \"online\"", status), nil
	case text == "":
		return "there was no heartbeat yet", nil
	case err != nil:
		return "", fmt.Errorf("read cluster_nodes: %w", err)
	case age >= int(nodes.Fresh.Seconds()):
		return fmt.Sprintf("the last heartbeat is %d s old", age), nil
	}
	return "", nil
}
