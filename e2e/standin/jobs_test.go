package standin

import (
	"testing"
	"time"

	"cidx-cluster/e2e/standin/internal/schema"
)

func TestJobsLeftBehindInACluster(t *testing.T) {
	f := loaded(t)
	f.inPostgres(func(s *schema.Store) {
		for id, c := range map[string][4]any{
			"pending-local": {"pending", "sync", "local", nil}, "running-local": {"running", "sync", "local", stamp(time.Now())},
			"refresh-local":  {"running", "refresh_golden_repo", "local", stamp(time.Now())},
			"running-nobody": {"running", "sync", nil, stamp(time.Now())}, "unstarted-nobody": {"running", "sync", nil, nil},
		} {
			_, err := s.Insert(t.Context(), "background_jobs", schema.Row{"job_id": id, "status": c[0], "operation_type": c[1],
				"executing_node": c[2], "started_at": c[3], "created_at": "2026-01-02T03:04:05+00:00", "username": "ops"})
			must(t, err)
		}
	})
	f.start().stop()
	const want = "j1 failed, pending-local pending, refresh-local completed, running-local failed, running-nobody running, unstarted-nobody failed"
	if got := f.value("background_jobs", "string_agg(job_id || ' ' || status, ', ' ORDER BY job_id)", "true"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAPendingJobOfTheOldServerBlocksARefresh(t *testing.T) {
	f := loaded(t)
	r := f.start()
	refresh := func() int {
		status, _ := r.call("POST", "/api/admin/golden-repos/billing/refresh", opsKey, nil)
		return status
	}
	if got := refresh(); got != 202 {
		t.Errorf("without: %d", got)
	}
	must(t, r.store.Add(t.Context(), "background_jobs", schema.Row{"job_id": "old", "operation_type": "refresh_golden_repo", "status": "pending",
		"repo_alias": "billing", "executing_node": "local", "created_at": stamp(time.Now()), "username": "ops"}))
	if got := refresh(); got != 409 {
		t.Errorf("with: %d", got)
	}
}

func TestSequencesThatStandTooLowShow(t *testing.T) {
	f := loaded(t)
	f.inPostgres(func(s *schema.Store) {
		for id := 1; id <= 2; id++ {
			must(t, s.Add(t.Context(), "audit_logs", schema.Row{"id": id, "admin_id": "a", "action_type": "b", "target_type": "c", "target_id": "d"}))
			must(t, s.Add(t.Context(), "search_event_log", schema.Row{"id": id, "timestamp": 1.0, "username": "a", "search_type": "fts",
				"query_text": "q", "total_latency_ms": 1, "result_count": 0, "node_id": "local"}))
		}
	})
	r := f.start()
	if n := r.found(opsKey, "billing", "billingword"); n != 1 {
		t.Errorf("the search itself: %d", n)
	}
	if got := r.healthz(); got != "200 degraded" {
		t.Errorf("health: %s", got)
	}
	if status, _ := r.call("POST", "/api/admin/users", opsKey, map[string]any{"username": "new", "password": "p", "role": "normal_user"}); status != 500 {
		t.Errorf("new user: %d", status)
	}
}
