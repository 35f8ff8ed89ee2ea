package cidx

const (
	serverDB  = "data/cidx_server.db"
	groupsDB  = "groups.db"
	oauthDB   = "oauth.db"
	refreshDB = "refresh_tokens.db"
	scipDB    = "scip_audit.db"
)

// interrupted is the error text of jobs that ActiveRule fails.
const interrupted = "Interrupted: the standalone server was migrated to a cluster"

// Catalogue names every table of CIDX 11.79, on both sides. Tables that move
// stand first, roughly in the order in which an operator looks for them; the
// order of loading follows the foreign keys.
var Catalogue = []Table{
	{Name: "users", File: serverDB, Core: true, Secrets: []string{"password_hash"},
		Seeds: []Seed{{"username": "admin", "role": "admin", "email": "", "oidc_identity": "", "password_changed_at": ""},
			{"username": "admin", "role": "admin", "email": "", "oidc_identity": "", "password_changed_at": "=created_at"}}, Started: true},
	{Name: "user_mfa", File: serverDB, UTC: []string{"created_at", "updated_at"},
		Secrets: []string{"encrypted_secret"}, Cipher: map[string]Cipher{"encrypted_secret": MFACipher}},
	{Name: "user_recovery_codes", File: serverDB, UTC: []string{"created_at", "used_at"}, Secrets: []string{"code_hash"}},
	{Name: "user_api_keys", File: serverDB, Core: true, Secrets: []string{"key_hash", "key_sha256"}},
	{Name: "user_mcp_credentials", File: serverDB, Core: true, Secrets: []string{"client_secret_hash"}},
	{Name: "user_oidc_identities", File: serverDB, Core: true},
	{Name: "user_git_credentials", File: serverDB,
		Secrets: []string{"encrypted_token"}, Cipher: map[string]Cipher{"encrypted_token": TokenCipher}},
	{Name: "ci_tokens", File: serverDB, Core: true,
		Secrets: []string{"encrypted_token"}, Cipher: map[string]Cipher{"encrypted_token": TokenCipher}},
	{Name: "invalidated_sessions", File: serverDB, Core: true, Secrets: []string{"token_id"}, Wanes: true},
	{Name: "password_change_timestamps", File: serverDB, Core: true},
	{Name: "token_blacklist", File: serverDB, Secrets: []string{"jti"}, Wanes: true},
	{Name: "groups", File: groupsDB, Core: true, Seeds: []Seed{{"name": "admins"}, {"name": "powerusers"}, {"name": "users"}}},
	{Name: "user_group_membership", File: groupsDB, Core: true, Seeds: []Seed{{"user_id": "admin"}}},
	{Name: "repo_group_access", File: groupsDB, Core: true, Seeds: []Seed{{"repo_name": "cidx-meta"}}},
	{Name: "audit_logs", File: groupsDB, Core: true},
	{Name: "repo_categories", File: serverDB},
	{Name: "server_config", File: serverDB, UTC: []string{"updated_at"}, Secrets: []string{"config_json"},
		Seeds: []Seed{{"config_key": "runtime"}}},
	{Name: "golden_repos_metadata", File: serverDB, Core: true,
		Paths:   map[string]PathRule{"clone_path": PathRewrite, "repo_url": URLRewrite},
		Checked: map[string]string{"category_id": "repo_categories.id"},
		Seeds:   []Seed{{"alias": "cidx-meta"}}},
	{Name: "global_repos", File: serverDB, Core: true, Epoch: []string{"next_refresh", "last_refresh"},
		Paths: map[string]PathRule{"index_path": PathRewrite, "repo_url": URLRewrite},
		Seeds: []Seed{{"alias_name": "cidx-meta-global"}}},
	{Name: "activated_repos", File: Activated},
	{Name: "hidden_discovery_repos", File: serverDB, UTC: []string{"hidden_at"}},
	{Name: "background_jobs", File: serverDB, Core: true, Active: &ActiveRule{
		Status: "status", Active: []string{"pending", "running"}, Failed: "failed",
		Finished: "completed_at", Error: "error", Text: interrupted},
		Seeds: []Seed{{"username": "system"}, {"username": "system-reconcile"}}, Started: true, Wanes: true},
	{Name: "sync_jobs", File: serverDB, Core: true, Active: &ActiveRule{
		Status: "status", Active: []string{"pending", "running"}, Failed: "failed",
		Finished: "completed_at", Error: "error_message", Text: interrupted}, Wanes: true},
	{Name: "ssh_keys", File: serverDB, Core: true, Local: []string{"created_at", "imported_at"}, Secrets: []string{"private_key"}},
	{Name: "ssh_key_hosts", File: serverDB, Core: true},
	{Name: "description_refresh_tracking", File: serverDB, Seeds: []Seed{{"repo_alias": "cidx-meta"}}},
	{Name: "dependency_map_tracking", File: serverDB, Seeds: []Seed{{"id": "1"}}},
	{Name: "dependency_map_run_history", File: serverDB, Null: map[string]Fallback{
		"timestamp": Moment, "domain_count": Zero, "total_chars": Zero, "edge_count": Zero, "zero_char_domains": Zero,
		"repos_analyzed": Zero, "repos_skipped": Zero, "pass1_duration_s": Zero, "pass2_duration_s": Zero}},
	{Name: "self_monitoring_scans", File: serverDB, UTC: []string{"started_at", "completed_at"}},
	{Name: "self_monitoring_issues", File: serverDB, UTC: []string{"created_at"}},
	{Name: "research_sessions", File: serverDB, Folders: "folder_path"},
	{Name: "research_messages", File: serverDB},
	{Name: "diagnostic_results", File: serverDB, Local: []string{"run_at"}},
	{Name: "wiki_cache", File: serverDB, Renames: map[string]string{"metadata_json": "metadata"},
		UTC: []string{"rendered_at"}, Wanes: true},
	{Name: "wiki_sidebar_cache", File: serverDB, UTC: []string{"built_at"}, Wanes: true},
	{Name: "wiki_article_views", File: serverDB, UTC: []string{"first_viewed_at", "last_viewed_at"}},
	{Name: "delegation_job_results", File: serverDB, UTC: []string{"created_at", "completed_at"}, Wanes: true},
	{Name: "search_event_log", File: serverDB, Wanes: true},
	{Name: "search_embed_event", File: serverDB, Wanes: true},
	{Name: "embedding_call_stats", File: serverDB, Wanes: true, Grows: true},
	{Name: "query_analytics_exports", File: serverDB, Paths: map[string]PathRule{"file_path": PathRewrite}, Wanes: true},
	{Name: "hnsw_orphan_sweep_state", File: serverDB, Seeds: []Seed{{"id": "1"}}},
	{Name: "golden_repo_reconcile_auto_heal_event", File: serverDB},
	{Name: "oauth_clients", File: oauthDB, Core: true, Seeds: []Seed{{"client_id": "client_credentials"}}},
	{Name: "oauth_codes", File: oauthDB, Core: true, Secrets: []string{"code", "code_challenge"}, Wanes: true},
	{Name: "oauth_tokens", File: oauthDB, Core: true, Secrets: []string{"access_token", "refresh_token"}, Wanes: true},
	{Name: "oidc_identity_links", File: oauthDB},
	{Name: "token_families", File: refreshDB, Core: true, Wanes: true, Seeds: []Seed{{"username": "admin"}}, SeedsOf: "users"},
	{Name: "refresh_tokens", File: refreshDB, Core: true, Secrets: []string{"token_hash"}, Wanes: true,
		Seeds: []Seed{{"username": "admin"}}, SeedsOf: "users"},
	{Name: "scip_dependency_installations", File: scipDB, Core: true, UTC: []string{"timestamp"}},

	{Name: "payload_cache", File: "data/payload_cache.db", Skip: "cache with a lifetime of minutes"},
	{Name: "query_embedding_cache", File: "data/query_embedding_cache.db", Skip: "cache; refilled by one provider call per distinct query"},
	{Name: "dependency_map_dashboard_cache", File: serverDB, Skip: "cache; the cluster has no such table"},
	{Name: "golden_repo_reconcile_breaker_state", File: serverDB,
		Skip: "must not be carried: an old count brings the reconciler nearer to deleting repositories"},
	{Name: "logs", File: "logs.db", Skip: "operational log, kept for 7 days; the old file stays readable"},
	{Name: "api_metrics", File: "data/api_metrics.db", Skip: "short-lived usage counters"},
	{Name: "api_metrics_buckets", File: "data/api_metrics.db", Skip: "usage counters, kept for at most 15 days"},
	{Name: "node_metrics", File: serverDB, Skip: "telemetry of one hour under the old node id"},
	{Name: "dependency_latency_samples", File: serverDB, Skip: "telemetry of five minutes"},
	{Name: "elevated_sessions", File: serverDB, Skip: "step-up sign-ins of minutes; users confirm again"},
	{Name: "oidc_state_tokens", File: serverDB, Skip: "sign-ins in flight, minutes"},
	{Name: "rate_limit_failures", File: serverDB, Skip: "rate-limit counters of minutes"},
	{Name: "rate_limit_lockouts", File: serverDB, Skip: "rate-limit lock-outs of minutes"},
	{Name: "maintenance_state", File: serverDB, Skip: "transient switch", Warn: "enabled <> 0"},
	{Name: "_health_check", File: serverDB, Skip: "scratch row of the health probe; the cluster has no such table"},

	{Name: "temporal_metadata", Skip: "PostgreSQL only: refilled by the next refresh"},
	{Name: "xray_evaluator_cache", Skip: "PostgreSQL only: compile cache"},
	{Name: "mfa_challenges", Skip: "PostgreSQL only: sign-ins of five minutes"},
	{Name: "login_failures", Skip: "PostgreSQL only: held in memory by a standalone server"},
	{Name: "login_lockouts", Skip: "PostgreSQL only: held in memory by a standalone server"},
	{Name: "token_bucket_state", Skip: "PostgreSQL only: held in memory by a standalone server"},
	{Name: "consumer_rate_limit_state", Skip: "PostgreSQL only: held in memory by a standalone server"},
	{Name: "cluster_nodes", Skip: "PostgreSQL only: heartbeats of running nodes"},
	{Name: "upgrade_registry", Skip: "PostgreSQL only: bookkeeping of upgrades"},
	{Name: "schema_migrations", Skip: "PostgreSQL only: bookkeeping of CIDX's schema runner"},
	{Name: "cluster_secrets", Skip: "PostgreSQL only: filled from secret files"},
	{Name: "golden_repo_indexes", Skip: "PostgreSQL only: no writer and no source"},
	{Name: "refresh_schedule", Skip: "PostgreSQL only: no writer and no source"},
}
