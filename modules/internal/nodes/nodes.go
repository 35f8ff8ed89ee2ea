// Package nodes tells which servers of a cluster are alive. A migration replaces
// the database's rows and the share's folders under all of them, so nothing goes
// on while one other than ours is. It only reads.
package nodes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// Fresh is the age of a heartbeat below which CIDX calls a node alive. A node
// writes one every ten seconds, and status offline at a clean stop.
const (
	Fresh = 30 * time.Second
	beat  = 10 * time.Second
)

// Node is a node that is alive.
type Node struct {
	ID  string  `json:"id"`  // cluster.node_id
	Age float64 `json:"age"` // of the heartbeat, in seconds
}

// Alive lists the nodes that CIDX itself calls alive, by id: status online and a
// fresh heartbeat. None where the database has no such table yet.
func Alive(ctx context.Context, conn *pgconn.PgConn) ([]Node, error) {
	rows, err := postgres.Rows(ctx, conn, `SELECT count(*) = 3 AND bool_and(has_column_privilege(attrelid, attnum, 'SELECT'))
		FROM pg_attribute WHERE attrelid = to_regclass('cluster_nodes') AND attname IN ('node_id', 'status', 'last_heartbeat')`)
	if err != nil {
		return nil, fmt.Errorf("look for cluster_nodes: %w", err)
	}
	if string(rows[0][0]) != "t" {
		return nil, nil
	}
	rows, err = postgres.Rows(ctx, conn, `SELECT node_id, extract(epoch FROM clock_timestamp() - last_heartbeat)::numeric(12, 1)
		FROM cluster_nodes WHERE status = 'online' AND last_heartbeat > clock_timestamp() - $1::interval ORDER BY 1`, Fresh.String())
	if err != nil {
		return nil, fmt.Errorf("read cluster_nodes: %w", err)
	}
	var list []Node
	for _, r := range rows {
		age, err := strconv.ParseFloat(string(r[1]), 64)
		if err != nil {
			return nil, fmt.Errorf("read cluster_nodes: %w", err)
		}
		list = append(list, Node{ID: string(r[0]), Age: age})
	}
	return list, nil
}

// Others leaves the node with our own id out. Where ours is "", all are others.
func Others(list []Node, own string) []Node {
	return slices.DeleteFunc(slices.Clone(list), func(n Node) bool { return n.ID == own })
}

// Refuse is the problem of a migration while others are alive; nil if none is.
// where is the database.
func Refuse(others []Node, where string) error {
	if len(others) == 0 {
		return nil
	}
	return problem.Problem{What: Words(others) + ": a migration replaces its rows and folders under it", At: where,
		Fix: "stop the server of that node, then run again; if the database is another cluster's, correct postgres_dsn"}
}

// Alone refuses while a node other than own is alive; where is the database.
func Alone(ctx context.Context, conn *pgconn.PgConn, own, where string) error {
	list, err := Alive(ctx, conn)
	if err != nil {
		return postgres.Explain(err, where)
	}
	return Refuse(Others(list, own), where)
}

// Words names nodes: another node of the cluster is online: node-2 (heartbeat 4 s ago).
func Words(list []Node) string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = fmt.Sprintf("%q (heartbeat %.0f s ago)", n.ID, max(0, n.Age))
	}
	if len(list) == 1 {
		return "another node of the cluster is online: " + names[0]
	}
	return fmt.Sprintf("%d other nodes of the cluster are online: %s", len(list), strings.Join(names, ", "))
}

// Twin refuses where somebody beats under our own id although our server does
// not run in cluster mode: a second machine that was made from this one. A killed
// server leaves a fresh heartbeat behind, so the next one is waited for.
func Twin(ctx context.Context, conn *pgconn.PgConn, own, where string) error {
	age := func() (float64, bool, error) {
		list, err := Alive(ctx, conn)
		i := slices.IndexFunc(list, func(n Node) bool { return n.ID == own })
		if err != nil || i < 0 {
			return 0, false, err
		}
		return list[i].Age, true, nil
	}
	before, alive, err := age()
	start := time.Now()
	for asked := start; alive && err == nil; {
		// Without a new heartbeat the age grows as the time does; half a second is
		// for clocks that are set.
		grown := time.Since(asked).Seconds() - 0.5
		var now float64
		if now, alive, err = age(); alive && now < before+grown {
			return problem.Problem{
				What: fmt.Sprintf("a server on another machine runs in the cluster under this node's id, %q (heartbeat %.0f s ago)",
					own, max(0, now)), At: where,
				Fix: "stop that server, or give one of the two another cluster.node_id in config.json",
			}
		}
		before, asked = now, time.Now()
		if time.Since(start) > beat+2*time.Second {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a heartbeat: %w", context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
	if err != nil {
		return postgres.Explain(err, where)
	}
	return nil
}
