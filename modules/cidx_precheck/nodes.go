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
func (s *server) others(facts pgcheck.Facts) error {
	if s.found.migrated {
		return nil
	}
	own := s.found.cluster.NodeID
	s.beats = slices.ContainsFunc(facts.Alive, func(n nodes.Node) bool { return n.ID == own })
	return nodes.Refuse(nodes.Others(facts.Alive, own), facts.Address)
}

// twin refuses where our own id is alive in PostgreSQL although this server is
// stopped or a standalone one: a second machine with a copy of config.json.
func (s *server) twin(ctx context.Context) problem.List {
	if !s.beats || s.found.migrated {
		return nil
	}
	conn, err := postgres.Connect(ctx, s.dsn(), "cidx_precheck")
	if err != nil {
		return problem.Of(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	return problem.Of(nodes.Twin(ctx, conn, s.found.cluster.NodeID, postgres.WhereDSN(s.dsn())))
}
