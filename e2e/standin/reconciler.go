package standin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

const (
	breakerStarts = 3                // the same set, seen at so many starts …
	breakerPause  = 30 * time.Minute // … each at least so long after the one before, is removed as well
)

// reconcile looks once per start for registry rows without files. Up to half of the rows are removed at once; more
// open the breaker, which degrades the health, and removes only a set seen at three starts. A repository that lies
// outside golden-repos stops the reconciler without any removal; so does a golden-repos that is no directory.
func (s *Server) reconcile(ctx context.Context) error {
	if _, err := os.Lstat(s.layout.Golden); os.IsNotExist(err) {
		if err := os.MkdirAll(s.layout.Aliases, 0o755); err != nil {
			return fmt.Errorf("make golden-repos: %w", err)
		}
	}
	if info, err := os.Stat(s.layout.Golden); err != nil || !info.IsDir() {
		s.log.Printf("reconciler: skipped, golden-repos is not a directory")
		return nil
	}
	rows, err := s.store.Rows(ctx, "golden_repos_metadata", "SELECT alias, clone_path FROM golden_repos_metadata ORDER BY alias")
	if err != nil {
		return err
	}
	var absent []string
	for _, r := range rows {
		_, err := s.layout.Resolve(r.Text("alias"), r.Text("clone_path"))
		if errors.Is(err, repos.ErrOutside) {
			s.log.Printf("reconciler: aborted, nothing removed: %v", err)
			return nil
		}
		if err != nil {
			absent = append(absent, r.Text("alias"))
		}
	}
	switch {
	case len(absent) == 0:
		return s.closeBreaker(ctx)
	case 2*len(absent) <= len(rows):
		return s.removeAbsent(ctx, absent)
	}
	return s.countBreaker(ctx, absent, len(rows))
}

func (s *Server) removeAbsent(ctx context.Context, absent []string) error {
	for _, alias := range absent {
		s.log.Printf("reconciler: removing %s: no files", alias)
		if err := s.removeGolden(ctx, alias); err != nil {
			return fmt.Errorf("remove repository %s: %w", alias, err)
		}
	}
	list, _ := json.Marshal(absent) // a list of text always marshals
	const event = "golden_repo_reconcile_auto_heal_event"
	if _, err := s.store.Exec(ctx, event, "DELETE FROM "+event); err != nil {
		return err
	}
	_, err := s.store.Insert(ctx, event, schema.Row{"id": 1, "removed_aliases": string(list), "occurred_at": stamp(time.Now())})
	if err != nil {
		return err
	}
	return s.closeBreaker(ctx)
}

// removeGolden is CIDX's cascade: registry row, alias file, global row and every activation.
func (s *Server) removeGolden(ctx context.Context, alias string) error {
	now := stamp(time.Now())
	_, err := s.store.Insert(ctx, "background_jobs", schema.Row{
		"job_id": "reconcile-" + alias + "-" + now, "operation_type": "remove_golden_repo", "status": "completed",
		"created_at": now, "started_at": now, "completed_at": now, "progress": 100, "username": "system",
		"is_admin": true, "cancelled": false, "repo_alias": alias, "resolution_attempts": 0,
	})
	if err != nil {
		return err
	}
	global, err := s.store.Rows(ctx, "global_repos", "SELECT alias_name FROM global_repos WHERE repo_name = ?", alias)
	if err != nil {
		return err
	}
	for _, r := range global {
		if err := os.Remove(s.layout.AliasFile(r.Text("alias_name"))); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	activations, err := s.activations(ctx, "")
	if err != nil {
		return err
	}
	for _, a := range activations {
		if a.golden == alias {
			if err := s.deactivate(ctx, a); err != nil {
				return err
			}
		}
	}
	if _, err := s.store.Exec(ctx, "global_repos", "DELETE FROM global_repos WHERE repo_name = ?", alias); err != nil {
		return err
	}
	_, err = s.store.Exec(ctx, "golden_repos_metadata", "DELETE FROM golden_repos_metadata WHERE alias = ?", alias)
	return err
}

const breakerTable = "golden_repo_reconcile_breaker_state"

func (s *Server) countBreaker(ctx context.Context, absent []string, total int) error {
	sum := sha256.Sum256([]byte(strings.Join(absent, "\n")))
	print := hex.EncodeToString(sum[:])
	row, err := s.store.Row1(ctx, breakerTable, "SELECT * FROM "+breakerTable+" WHERE id = ?", 1)
	if err != nil {
		return err
	}
	now := time.Now()
	count, first := int64(1), stamp(now)
	if row != nil && row.Text("orphan_fingerprint") == print {
		count = row.Int("consecutive_count")
		first = row.Text("first_observed_at")
		if last, ok := row.Time("last_observed_at"); !ok || now.Sub(last) < breakerPause {
			s.trip(absent, total, count)
			return nil
		}
		count++
	}
	if count >= breakerStarts {
		return s.removeAbsent(ctx, absent)
	}
	s.trip(absent, total, count)
	if _, err := s.store.Exec(ctx, breakerTable, "DELETE FROM "+breakerTable); err != nil {
		return err
	}
	_, err = s.store.Insert(ctx, breakerTable, schema.Row{
		"id": 1, "orphan_fingerprint": print, "consecutive_count": count,
		"first_observed_at": first, "last_observed_at": stamp(now), "updated_at": stamp(now),
	})
	return err
}

func (s *Server) trip(absent []string, total int, count int64) {
	s.tripped = fmt.Sprintf("golden repo reconciler: %d of %d repositories have no files (start %d of %d before removal)",
		len(absent), total, count, breakerStarts)
	s.log.Printf("%s", s.tripped)
}

func (s *Server) closeBreaker(ctx context.Context) error {
	_, err := s.store.Exec(ctx, breakerTable, "DELETE FROM "+breakerTable)
	return err
}
