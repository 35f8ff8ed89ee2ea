package judge

// The rules no schema tells, from CIDX 11.79. Columns are "table.column".

// localTimes are written without a zone in the server's local time; every
// other time without a zone is UTC.
var localTimes = map[string]bool{"ssh_keys.created_at": true, "ssh_keys.imported_at": true, "diagnostic_results.run_at": true}

// pathColumns hold an absolute path, or (urlColumns) a URL that may be one,
// and move with the trees.
var (
	pathColumns = map[string]bool{"golden_repos_metadata.clone_path": true, "global_repos.index_path": true, "query_analytics_exports.file_path": true}
	urlColumns  = map[string]bool{"golden_repos_metadata.repo_url": true, "global_repos.repo_url": true}
)

// nullDefaults are what NULL becomes where PostgreSQL forbids it; "now" is any time.
var nullDefaults = map[string]string{
	"dependency_map_run_history.timestamp": "now", "dependency_map_run_history.domain_count": "0", "dependency_map_run_history.total_chars": "0",
	"dependency_map_run_history.edge_count": "0", "dependency_map_run_history.zero_char_domains": "0", "dependency_map_run_history.repos_analyzed": "0",
	"dependency_map_run_history.repos_skipped": "0", "dependency_map_run_history.pass1_duration_s": "0", "dependency_map_run_history.pass2_duration_s": "0",
}

// secretColumns are never shown in a difference.
var secretColumns = map[string]bool{
	"users.password_hash": true, "user_mfa.encrypted_secret": true, "user_recovery_codes.code_hash": true, "user_api_keys.key_hash": true,
	"user_api_keys.key_sha256": true, "user_mcp_credentials.client_secret_hash": true, "ci_tokens.encrypted_token": true,
	"user_git_credentials.encrypted_token": true, "oauth_codes.code": true, "oauth_tokens.access_token": true, "oauth_tokens.refresh_token": true,
	"refresh_tokens.token_hash": true, "ssh_keys.private_key": true, "server_config.config_json": true, "cluster_secrets.key_value": true,
	"invalidated_sessions.token_id": true, "token_blacklist.jti": true, "oauth_clients.metadata": true,
}

// jobTables: a row that was pending or running arrives as failed. ends is
// filled with a time, message with a text; free columns may be set as well.
var jobTables = map[string]struct {
	ends, message string
	free          map[string]bool
}{
	"background_jobs": {"completed_at", "error", map[string]bool{"failure_reason": true}},
	"sync_jobs":       {"completed_at", "error_message", nil},
}

// What a running cluster server adds or changes by itself, or because a test
// logged in and searched. Only with Running.
var (
	sweeping = map[string]bool{"hnsw_orphan_sweep_state": true} // one row, rewritten by a sweep at each start
	growing  = map[string]bool{"audit_logs": true, "background_jobs": true, "sync_jobs": true, "search_event_log": true, "search_embed_event": true,
		"embedding_call_stats": true, "token_families": true, "refresh_tokens": true, "token_blacklist": true, "invalidated_sessions": true,
		"delegation_job_results": true, "wiki_article_views": true, "dependency_map_run_history": true, "self_monitoring_scans": true}
	living = map[string]bool{"user_mfa.last_used_counter": true, "user_mfa.last_used_otp_counter": true, "user_mfa.updated_at": true,
		"user_recovery_codes.used_at": true, "user_recovery_codes.used_ip": true, "user_mcp_credentials.last_used_at": true,
		"activated_repos.last_accessed": true, "dependency_map_tracking.next_run": true}
	bookkeeping = map[string]bool{"cluster_nodes": true, "logs": true, "api_metrics": true, "api_metrics_buckets": true, "node_metrics": true,
		"dependency_latency_samples": true, "payload_cache": true, "query_embedding_cache": true, "elevated_sessions": true, "oidc_state_tokens": true,
		"mfa_challenges": true, "rate_limit_failures": true, "rate_limit_lockouts": true, "login_failures": true, "login_lockouts": true,
		"token_bucket_state": true, "consumer_rate_limit_state": true, "maintenance_state": true, "xray_evaluator_cache": true,
		"temporal_metadata": true, "upgrade_registry": true}
)

// filled are the tables of class skip that a migration fills or may fill.
var filled = map[string]bool{"schema_migrations": true, "cluster_secrets": true, "query_embedding_cache": true}

// marker is the table in which the migration notes what it loaded; CIDX does not know it.
const marker = "cidx_cluster_migration"
