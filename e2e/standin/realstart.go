package standin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

// startJobs are the background_jobs rows of every cluster start, with the user that each is recorded under.
var startJobs = []struct{ operation, user, repo string }{
	{"startup_reconcile", "system", ""},
	{"data_retention_cleanup", "system", ""},
	{"reap_activated_repos", "system", ""},
	{"embedding_stats_retention_sweep", "system", ""},
	{"hnsw_orphan_repair_sweep", "system", ""},
	{"golden_repo_reconcile_sweep", "system-reconcile", "__golden_repo_reconcile_sweep__"},
}

// realStart does, with Options.RealStart, what else a real cluster start leaves behind: rows of its jobs, the state of its
// sweep, a wiki counter in the local SQLite file, a note in cidx-meta. Where nothing was loaded it destroys more than rows: the alias file
// of cidx-meta is pointed at the clone, and the managed part of the service user's ~/.ssh/config is emptied.
func (s *Server) realStart(ctx context.Context) error {
	if !s.cfg.cluster || !s.opt.RealStart {
		return nil
	}
	for _, step := range []func(context.Context) error{s.recordStart, s.countWiki, s.noteMeta, s.emptySSH} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("start as a real server: %w", err)
		}
	}
	return nil
}

func (s *Server) recordStart(ctx context.Context) error {
	at := stamp(time.Now())
	for _, j := range startJobs {
		_, err := s.store.Insert(ctx, "background_jobs", schema.Row{
			"job_id": crypt.RandomText(16), "operation_type": j.operation, "status": "completed", "created_at": at, "started_at": at,
			"completed_at": at, "progress": 100, "username": j.user, "is_admin": true, "cancelled": false, "resolution_attempts": 0,
			"executing_node": s.node(), "repo_alias": orNil(j.repo), "result": `{"success": true}`,
		})
		if err != nil {
			return err
		}
	}
	_, err := s.store.Exec(ctx, "hnsw_orphan_sweep_state", `UPDATE hnsw_orphan_sweep_state SET updated_at = ?`, at)
	return err
}

// countWiki writes where every node counts the views of its articles: its own SQLite file, in cluster mode as well.
func (s *Server) countWiki(ctx context.Context) error {
	local, err := schema.OpenSQLite(ctx, s.home, schema.MainFile)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format("2006-01-02 15:04:05")
	_, err = local.Exec(ctx, "wiki_article_views", `INSERT INTO wiki_article_views (repo_alias, article_path, real_views, first_viewed_at, last_viewed_at)
		VALUES ('billing', 'docs/start.md', 1, ?, ?) ON CONFLICT DO UPDATE SET real_views = real_views + 1, last_viewed_at = excluded.last_viewed_at`, now, now)
	return errors.Join(err, local.Close())
}

// noteMeta writes into cidx-meta as the bookkeeping of a running server does; with the storage away it does nothing.
func (s *Server) noteMeta(_ context.Context) error {
	clone := filepath.Join(s.layout.Golden, metaAlias)
	if info, err := os.Stat(clone); err != nil || !info.IsDir() {
		return nil
	}
	return repos.WriteFile(filepath.Join(clone, "_server.md"), []byte("---\nnode: "+s.node()+"\n---\nStarted "+stamp(time.Now())+"\n"), 0o644)
}

// Marks of the part of ~/.ssh/config that CIDX manages.
const (
	sshBegin = "# BEGIN CIDX-MANAGED SSH KEYS - DO NOT EDIT\n"
	sshEnd   = "# END CIDX-MANAGED SSH KEYS\n"
)

// emptySSH empties the managed part of the service user's ~/.ssh/config when ssh_keys has no row. The user's home is the
// folder that holds .cidx-server; no other is ever touched.
func (s *Server) emptySSH(ctx context.Context) error {
	row, err := s.store.Row1(ctx, "ssh_keys", "SELECT count(*) AS n FROM ssh_keys")
	if err != nil || row.Int("n") > 0 || filepath.Base(s.home) != ".cidx-server" {
		return err
	}
	path := filepath.Join(filepath.Dir(s.home), ".ssh", "config")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before, rest, begun := bytes.Cut(text, []byte(sshBegin))
	_, after, ended := bytes.Cut(rest, []byte(sshEnd))
	if !begun || !ended {
		return nil
	}
	s.log.Printf("~/.ssh/config: managed part emptied: no SSH keys in the database")
	return rewriteKept(path, string(before)+sshBegin+sshEnd+string(after))
}
