package precheck

import (
	"context"
	"slices"

	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/pgcheck"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// others refuses while another node of the cluster is alive. A node of a working
// cluster may be checked again.
func (e *examiner) others(facts pgcheck.Facts) error {
	if e.found.migrated {
		return nil
	}
	own := e.found.cluster.NodeID
	e.found.beats = slices.ContainsFunc(facts.Alive, func(n nodes.Node) bool { return n.ID == own })
	return nodes.Refuse(nodes.Others(facts.Alive, own), facts.Address)
}

// twin refuses where our own id is alive in PostgreSQL although this server is
// stopped or a standalone one: a second machine with a copy of config.json.
func (e *examiner) twin(ctx context.Context) problem.List {
	if !e.found.beats || e.found.migrated {
		return nil
	}
	dsn := e.DSN
	if dsn == "" {
		dsn = e.found.cluster.DSN
	}
	conn, err := postgres.Connect(ctx, dsn, "cidx_precheck")
	if err != nil {
		return problem.Of(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	if err := nodes.Twin(ctx, conn, e.found.cluster.NodeID, postgres.WhereDSN(dsn)); err != nil {
		return problem.Of(err)
	}
	return nil
}
