package seed

import (
	"fmt"
	"path/filepath"
)

var repoFillings = map[string]filling{
	"repo_categories": {rows: exactly(6), cells: map[string]cell{
		"name": named("Kategorie %d"), "pattern": named(`^team-%d[\w.-]+$`), "priority": func(_ *maker, i int) any { return i }}},
	"golden_repos_metadata": {rows: perRepo, cells: map[string]cell{
		"alias": repoAt, "repo_url": func(m *maker, i int) any { return m.repos[i-1].url },
		"default_branch":  func(m *maker, i int) any { return m.repos[i-1].branch },
		"clone_path":      func(m *maker, i int) any { return m.repos[i-1].clone },
		"enable_temporal": flag01, "temporal_options": sometimes(3, document), "wiki_enabled": sometimes(4, flag01),
		"category_id": oneOf(nil, 1, 2, 3, 6), "category_auto_assigned": sometimes(4, flag01)}},
	"global_repos": {rows: perRepo, cells: map[string]cell{
		"alias_name": func(m *maker, i int) any { return m.repos[i-1].global() }, "repo_name": repoAt,
		"repo_url":     func(m *maker, i int) any { return m.repos[i-1].url },
		"index_path":   func(m *maker, i int) any { return m.repos[i-1].clone },
		"last_refresh": lastRefresh, "next_refresh": sometimes(4, epochText), "temporal_options": sometimes(3, document)}},
	"activated_repos": {rows: exactly(0)}, // a standalone server keeps them in JSON files only
	"hidden_discovery_repos": {cells: map[string]cell{
		"repo_identifier": named("https://git.example.org/hidden/%d"), "hidden_at": naive}},
	"description_refresh_tracking": {rows: perRepo, cells: map[string]cell{
		"repo_alias": repoAt, "last_known_commit": hexOf(40), "status": oneOf("completed", "pending", "failed")}},
	"wiki_cache": {cells: map[string]cell{
		"repo_alias": aRepo, "article_path": named("docs/Übersicht/page %06d.md"), "title": words("Title"),
		"rendered_html": words("<h1>page</h1>"), "file_mtime": epochReal, "rendered_at": naive, "metadata_json": sometimes(4, document)}},
	"wiki_sidebar_cache": {rows: perRepo, cells: map[string]cell{
		"repo_alias": repoAt, "sidebar_json": longDocument, "max_mtime": epochReal, "built_at": naive}},
	"wiki_article_views": {cells: map[string]cell{
		"repo_alias": aRepo, "article_path": named("docs/page-%06d.md"), "first_viewed_at": naive, "last_viewed_at": sometimes(6, naive)}},
}

func lastRefresh(m *maker, i int) any {
	if i%4 == 3 {
		return epochText(m, i)
	}
	return iso(m, i)
}

// operations of background jobs; the first six rows are active, so they need six of their own.
var operations = []string{"refresh_golden_repo", "add_golden_repo", "remove_golden_repo", "provider_index_add",
	"add_indexes_to_golden_repo", "change_branch", "dependency_map_analysis"}

// activeJobs are the states that a server killed in the middle leaves behind.
var activeJobs = []struct {
	status  string
	node    any
	started bool
}{
	{"pending", "local", false}, {"running", "local", true}, {"running", nil, true},
	{"running", nil, false}, {"pending", nil, false}, {"running", "local", false},
}

var jobFillings = map[string]filling{
	"background_jobs": {cells: map[string]cell{
		"job_id": uuid, "operation_type": func(_ *maker, i int) any { return operations[i%len(operations)] }, "status": jobStatus,
		"started_at": jobStarted, "completed_at": finished(iso), "result": finished(document), "error": finished(sometimes(2, text)),
		"progress": number(101), "repo_alias": aRepo, "resolution_attempts": number(4), "claude_actions": sometimes(3, document),
		"extended_error": sometimes(4, document), "language_resolution_status": sometimes(4, document), "cancelled": flag01,
		"executing_node": jobNode, "metadata": sometimes(4, document)}},
	"sync_jobs": {cells: map[string]cell{
		"job_id": uuid, "user_alias": aRepo, "job_type": oneOf("full", "incremental"), "status": syncStatus,
		"started_at": sometimes(6, iso), "completed_at": finished(iso), "progress": sometimes(7, number(101)), "phases": sometimes(5, document),
		"phase_weights": sometimes(5, document), "progress_history": sometimes(5, document),
		"recovery_checkpoint": sometimes(5, document), "analytics_data": sometimes(5, document)}},
	"delegation_job_results": {cells: map[string]cell{
		"job_id": uuid, "status": oneOf("completed", "failed"), "exit_code": sometimes(3, oneOf(0, 1, -9)), "created_at": naive, "completed_at": sometimes(4, naive)}},
	"dependency_map_tracking": {rows: exactly(1), cells: map[string]cell{"commit_hashes": document, "refinement_cursor": always(3)}},
	"dependency_map_run_history": {cells: map[string]cell{
		"timestamp": sometimes(17, iso), "pass1_duration_s": sometimes(5, real64), "pass2_duration_s": sometimes(4, real64),
		"run_type": oneOf("full", "delta", "refinement", nil, "sechzehn-zeichen"), "phase_timings_json": sometimes(4, document)}},
	"research_sessions": {rows: few, cells: map[string]cell{
		"id": sessionID, "name": words("Session"), "folder_path": func(m *maker, i int) any {
			return filepath.Join(m.Home, "research", sessionID(m, i).(string))
		}}},
	"research_messages": {cells: map[string]cell{
		"session_id": func(m *maker, i int) any { return sessionID(m, 1+i%few(m.world)) }, "role": oneOf("user", "assistant"), "content": words("Message")}},
	"self_monitoring_scans": {cells: map[string]cell{
		"scan_id": named("scan-%06d"), "started_at": naive, "completed_at": sometimes(5, naive), "status": oneOf("SUCCESS", "FAILURE")}},
	"self_monitoring_issues": {cells: map[string]cell{
		"scan_id": named("scan-%06d"), "classification": oneOf("server_bug", "client_misuse"), "source_log_ids": always("[1, 2,3]"),
		"fingerprint": hexOf(16), "created_at": naive}},
	"diagnostic_results": {cells: map[string]cell{"category": named("category-%d"), "results_json": document, "run_at": naiveLocal}},
}

func jobStatus(_ *maker, i int) any {
	if i <= len(activeJobs) {
		return activeJobs[i-1].status
	}
	return []string{"completed", "failed", "cancelled"}[i%3]
}

func jobNode(_ *maker, i int) any {
	if i <= len(activeJobs) {
		return activeJobs[i-1].node
	}
	return []any{"local", nil}[i%2]
}

func jobStarted(m *maker, i int) any {
	if i <= len(activeJobs) && !activeJobs[i-1].started {
		return nil
	}
	return iso(m, i)
}

func syncStatus(_ *maker, i int) any {
	if i <= 3 {
		return []string{"pending", "running", "running"}[i-1]
	}
	return []string{"completed", "failed"}[i%2]
}

// finished is NULL in the rows of active jobs.
func finished(c cell) cell {
	return func(m *maker, i int) any {
		if i <= len(activeJobs) {
			return nil
		}
		return c(m, i)
	}
}

func sessionID(_ *maker, i int) any { return fmt.Sprintf("5e551011-0000-4000-8000-%012d", i) }
