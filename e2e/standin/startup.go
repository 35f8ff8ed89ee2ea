package standin

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"cidx-cluster/e2e/standin/internal/schema"
)

// settleJobs deals with jobs that a stop left behind. Standalone fails them all. A cluster judges by the node that
// ran them: started ones of a node named "local" are repeated if they refresh or index, failed otherwise; pending
// ones of "local" and started ones of nobody wait for ever and block their repository; unstarted ones of nobody fail.
func (s *Server) settleJobs(ctx context.Context) error {
	now := stamp(time.Now())
	const lost = "Job interrupted by server restart"
	if !s.cfg.cluster {
		_, err := s.store.Exec(ctx, "background_jobs", `UPDATE background_jobs SET status = 'failed', completed_at = ?, error = ?
			WHERE status IN ('pending', 'running')`, now, lost)
		if err != nil {
			return err
		}
		_, err = s.store.Exec(ctx, "sync_jobs", `UPDATE sync_jobs SET status = 'failed', completed_at = ?, error_message = ?
			WHERE status IN ('pending', 'running')`, now, lost)
		return err
	}
	_, err := s.store.Exec(ctx, "background_jobs", `UPDATE background_jobs SET completed_at = ?, executing_node = ?,
		status = CASE WHEN operation_type LIKE '%refresh%' OR operation_type LIKE '%index%' THEN 'completed' ELSE 'failed' END,
		error = CASE WHEN operation_type LIKE '%refresh%' OR operation_type LIKE '%index%' THEN error ELSE ? END
		WHERE status = 'running' AND executing_node = 'local' AND started_at IS NOT NULL`, now, s.node(), lost)
	if err != nil {
		return err
	}
	_, err = s.store.Exec(ctx, "background_jobs", `UPDATE background_jobs SET status = 'failed', completed_at = ?, error = ?
		WHERE status = 'running' AND executing_node IS NULL AND started_at IS NULL AND created_at < now() - interval '1 hour'`, now, lost)
	return err
}

// cleanUp is what a cluster start destroys when it finds no row for it: research directories unused for seven days.
// The row must hold the very text <home>/research/<id>. Only <home>/research is ever touched.
func (s *Server) cleanUp(ctx context.Context) error {
	if s.opt.Reap {
		if err := s.reap(ctx); err != nil {
			return err
		}
	}
	if !s.cfg.cluster {
		return nil
	}
	rows, err := s.store.Rows(ctx, "research_sessions", "SELECT folder_path FROM research_sessions")
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, r := range rows {
		known[r.Text("folder_path")] = true
	}
	root := filepath.Join(s.home, "research")
	entries, err := os.ReadDir(root)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read research: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		info, err := e.Info()
		if err != nil || !e.IsDir() || known[path] || time.Since(info.ModTime()) < 7*24*time.Hour {
			continue
		}
		s.log.Printf("removing research directory without a session: %s", e.Name())
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove research directory: %w", err)
		}
	}
	return nil
}

// node is this server's name in cluster_nodes.
func (s *Server) node() string {
	if s.cfg.nodeID != "" {
		return s.cfg.nodeID
	}
	return hostName() + "-cidx"
}

// jobNode is how this server signs jobs and events: "local" in standalone mode.
func (s *Server) jobNode() string {
	if s.cfg.cluster {
		return s.node()
	}
	return "local"
}

func (s *Server) nodeOnline(ctx context.Context) error {
	if !s.cfg.cluster {
		return nil
	}
	_, portText, _ := net.SplitHostPort(s.addr)
	port, _ := strconv.Atoi(portText)
	_, err := s.store.Exec(ctx, "cluster_nodes", `INSERT INTO cluster_nodes (node_id, hostname, port, status, last_heartbeat)
		VALUES (?, ?, ?, 'online', now()) ON CONFLICT (node_id) DO UPDATE
		SET hostname = EXCLUDED.hostname, port = EXCLUDED.port, status = 'online', last_heartbeat = now()`, s.node(), hostName(), port)
	return err
}

func (s *Server) heartbeat(ctx context.Context) {
	if !s.cfg.cluster {
		return
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.nodeOnline(ctx); err != nil && ctx.Err() == nil {
				s.log.Printf("heartbeat: %v", err)
			}
		}
	}
}

func (s *Server) nodeOffline(ctx context.Context) error {
	if !s.cfg.cluster {
		return nil
	}
	_, err := s.store.Exec(ctx, "cluster_nodes", "UPDATE cluster_nodes SET status = 'offline' WHERE node_id = ?", s.node())
	return err
}

// goldenRows are the registry rows, without those that -lose-repos hides.
func (s *Server) goldenRows(ctx context.Context) ([]schema.Row, error) {
	rows, err := s.store.Rows(ctx, "golden_repos_metadata", "SELECT * FROM golden_repos_metadata ORDER BY alias")
	return rows[:max(0, len(rows)-s.faults.LoseRepos)], err
}
