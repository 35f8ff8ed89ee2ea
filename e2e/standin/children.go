package standin

import (
	"context"
	"fmt"
	"time"

	"cidx-cluster/e2e/standin/internal/schema"
)

// indexChildren stands for the processes `cidx index` that a standalone server spawns at each refresh. Every one reads
// config.json anew: from cluster-join.sh on they write their row of embedding_call_stats to PostgreSQL, ids from 1,
// while the server itself goes on with SQLite. They end with the server.
func (s *Server) indexChildren(ctx context.Context) {
	if s.cfg.cluster || s.opt.IndexChildren <= 0 {
		return
	}
	tick := time.NewTicker(s.opt.IndexChildren)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := s.indexChild(ctx, n); err != nil && ctx.Err() == nil {
			s.log.Printf("cidx index: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// indexChild is one such process. It makes no table: where one is missing its row is lost, and it goes on.
func (s *Server) indexChild(ctx context.Context, n int) error {
	cfg, err := readConfig(s.home)
	if err != nil {
		return err
	}
	row := schema.Row{
		"provider": "voyage-ai", "call_type": "document", "model": "voyage-code-3", "item_count": 1 + n%100,
		"token_count": 1000 + n, "batch_size": 1 + n%100, "purpose": childPurpose, "golden_repo_alias": "billing",
		"job_id": fmt.Sprintf("index-child-%d-%d", s.started.UnixNano(), n), "success": true, "latency_ms": 100 + n%50,
		"occurred_at": float64(time.Now().UnixMicro()) / 1e6,
	}
	if !cfg.cluster {
		return s.store.Add(ctx, "embedding_call_stats", row)
	}
	row["node_id"] = cfg.nodeID
	store, err := schema.ReachPostgres(cfg.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	return store.Add(ctx, "embedding_call_stats", row)
}

// childPurpose marks the rows of these children, for tests.
const childPurpose = "index"
