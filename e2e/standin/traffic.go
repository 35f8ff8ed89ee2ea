package standin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

const (
	churnEvery   = 4  // ticks between changes in a base clone
	refreshEvery = 25 // ticks between refreshes, with Options.Refresh
)

// traffic is what a standalone server writes by itself while it runs: audit, job, search, log and health rows, files
// in the base clones and, if asked, snapshots. A job that is running when the server is killed stays so.
func (s *Server) traffic(ctx context.Context) {
	if s.cfg.cluster || s.opt.Quiet || s.opt.WriteInterval <= 0 {
		return
	}
	tick := time.NewTicker(s.opt.WriteInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := s.write(ctx, n); err != nil && ctx.Err() == nil {
			s.log.Printf("traffic: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) write(ctx context.Context, n int) error {
	err := errors.Join(s.writeRows(ctx, n), s.store.Probe(ctx, schema.MainFile), s.store.Probe(ctx, "groups.db"))
	churns, refreshes := n%churnEvery == 0, s.opt.Refresh && n > 0 && n%refreshEvery == 0
	if !churns && !refreshes {
		return err
	}
	rows, listErr := s.store.Rows(ctx, "golden_repos_metadata",
		"SELECT alias, clone_path FROM golden_repos_metadata WHERE alias <> ? ORDER BY alias", metaAlias)
	if listErr != nil || len(rows) == 0 {
		return errors.Join(err, listErr)
	}
	if churns {
		turn := n / churnEvery
		err = errors.Join(err, repos.Churn(rows[turn%len(rows)].Text("clone_path"), turn/len(rows), time.Now()))
	}
	if refreshes {
		row := rows[n/refreshEvery%len(rows)]
		err = errors.Join(err, s.refresh(ctx, row.Text("alias"), row.Text("clone_path")))
	}
	return err
}

func (s *Server) writeRows(ctx context.Context, n int) error {
	now := time.Now()
	at, run := stamp(now), s.started.UnixNano()
	job := func(n int) string { return fmt.Sprintf("standin-%d-%d", run, n) }
	var err error
	for _, w := range []struct {
		table string
		row   schema.Row
	}{
		{"background_jobs", schema.Row{
			"job_id": job(n), "operation_type": "standin_maintenance", "status": "running", "created_at": at, "started_at": at,
			"progress": 0, "username": "system", "is_admin": false, "cancelled": false, "resolution_attempts": 0,
			"executing_node": "local", "metadata": fmt.Sprintf(`{"tick": %d}`, n),
		}},
		{"audit_logs", schema.Row{
			"timestamp": at, "admin_id": "admin", "action_type": "standin_tick", "target_type": "system",
			"target_id": fmt.Sprint("tick-", n), "details": fmt.Sprintf(`{"tick": %d}`, n),
		}},
		{"search_event_log", schema.Row{
			"timestamp": float64(now.UnixMicro()) / 1e6, "username": "system", "search_type": "fts", "query_text": "standin",
			"voyage_cache_hit": n%2 == 0, "total_latency_ms": 1 + n%50, "result_count": n % 7, "node_id": "local",
		}},
		{"logs", schema.Row{
			"timestamp": at, "level": "INFO", "source": "standin", "message": fmt.Sprint("tick ", n), "created_at": at,
		}},
	} {
		_, insertErr := s.store.Insert(ctx, w.table, w.row)
		err = errors.Join(err, insertErr)
	}
	_, doneErr := s.store.Exec(ctx, "background_jobs", // after the next one runs: at any moment one job is running
		"UPDATE background_jobs SET status = 'completed', completed_at = ?, progress = 100, result = ? WHERE job_id = ?",
		at, `{"success": true}`, job(n-1))
	return errors.Join(err, doneErr)
}

// errJob means that an active job of the same type blocks a repository; one that nobody runs blocks it for ever.
var errJob = errors.New("a job of this type is already active for the repository")

// refresh makes a snapshot and points the alias at it, in either mode, as a job.
func (s *Server) refresh(ctx context.Context, alias, clonePath string) error {
	now := time.Now()
	job := fmt.Sprintf("refresh-%s-%d", alias, now.UnixNano())
	added, err := s.store.Insert(ctx, "background_jobs", schema.Row{
		"job_id": job, "operation_type": "refresh_golden_repo", "status": "running", "created_at": stamp(now), "started_at": stamp(now),
		"progress": 0, "username": "system", "is_admin": true, "cancelled": false, "resolution_attempts": 0,
		"executing_node": s.jobNode(), "repo_alias": alias,
	})
	if err != nil {
		return err
	}
	if !added {
		return fmt.Errorf("refresh %s: %w", alias, errJob)
	}
	target, previous, err := s.layout.Refresh(ctx, alias, clonePath, now)
	status, trouble := "completed", any(nil)
	if err != nil {
		status, trouble = "failed", err.Error()
	} else {
		s.log.Printf("refreshed %s: %s", alias, target)
		s.spawn(func() { s.dropSnapshot(alias, previous) })
		err = s.noteRefresh(ctx, alias, now)
	}
	_, endErr := s.store.Exec(ctx, "background_jobs", "UPDATE background_jobs SET status = ?, completed_at = ?, error = ? WHERE job_id = ?",
		status, stamp(time.Now()), trouble, job)
	return errors.Join(err, endErr)
}

// noteRefresh records a refresh. A cluster node spells the clone as it lies on itself, whatever the migration has written.
func (s *Server) noteRefresh(ctx context.Context, alias string, now time.Time) error {
	_, err := s.store.Exec(ctx, "global_repos", "UPDATE global_repos SET last_refresh = ? WHERE repo_name = ?", stamp(now), alias)
	if err != nil || !s.cfg.cluster {
		return err
	}
	_, err = s.store.Exec(ctx, "golden_repos_metadata", "UPDATE golden_repos_metadata SET clone_path = ? WHERE alias = ?",
		filepath.Join(s.layout.Golden, alias), alias)
	return err
}

// swapPause is how long a snapshot outlives the swap of its alias when no query reads it.
const swapPause = 200 * time.Millisecond

// dropSnapshot removes the snapshot before the present one, a moment after the swap.
func (s *Server) dropSnapshot(alias, path string) {
	select {
	case <-s.life.Done():
		return
	case <-time.After(swapPause):
	}
	if err := s.layout.DropSnapshot(alias, path); err != nil {
		s.log.Printf("remove snapshot of %s: %v", alias, err)
	}
}
