package seed

import (
	"fmt"
	"path/filepath"
)

var eventFillings = map[string]filling{
	"audit_logs": {rows: large, cells: map[string]cell{
		"action_type": oneOf("repo_add", "user_create", "group_change", "login"), "target_type": oneOf("repo", "user", "group"),
		"target_id": aRepo, "details": sometimes(4, document)}},
	"search_event_log": {rows: large, cells: map[string]cell{
		"timestamp": epochReal, "search_type": oneOf("semantic", "fts", "hybrid"), "query_text": words("query"),
		"voyage_cache_hit": sometimes(3, flag01), "cohere_cache_hit": sometimes(4, flag01), "voyage_cache_mode": oneOf("on", "shadow", nil),
		"cohere_cache_mode": oneOf(nil, "off"), "node_id": always("local"), "correlation_id": sometimes(6, uuid)}},
	"search_embed_event": {rows: large, cells: map[string]cell{
		"timestamp": epochReal, "correlation_id": uuid, "node_id": always("local"), "provider": oneOf("voyage-ai", "cohere"),
		"model": oneOf("voyage-code-3", "embed-v4.0", nil), "config_digest": hexOf(16), "cache_mode": oneOf("on", "shadow"),
		"outcome": oneOf("hit", "miss", "error"), "role": oneOf("leader", "follower"), "live_batch_id": sometimes(3, hexOf(8)),
		"embed_key": hexOf(32), "long_key": sometimes(3, flag01), "audit_sampled": sometimes(4, flag01)}},
	"embedding_call_stats": {rows: large, cells: map[string]cell{
		"provider": oneOf("voyage-ai", "cohere"), "call_type": oneOf("query", "document"), "model": oneOf("voyage-code-3", "embed-v4.0"),
		"purpose": oneOf("search", "index"), "job_id": sometimes(2, uuid), "node_id": sometimes(2, always("local")),
		"success": flag01, "occurred_at": epochReal}},
	"query_analytics_exports": {cells: map[string]cell{
		"id": uuid, "initiated_by": aUser, "created_at": epochReal, "status": oneOf("completed", "failed"), "filter_summary": document,
		"file_path": exportPath, "file_size_bytes": sometimes(4, number(1<<31-1)), "retention_until": sometimes(5, epochReal)}},
}

// exportPath is NULL for failed exports.
func exportPath(m *maker, i int) any {
	if i%2 == 1 {
		return nil
	}
	return filepath.Join(m.place.golden, "cidx-exports", "query-analytics", fmt.Sprintf("export-%04d.csv", i))
}

var restFillings = map[string]filling{
	"server_config": {rows: exactly(1), cells: map[string]cell{
		"config_key": always("runtime"), "config_json": runtimeConfig, "version": always(41), "updated_at": naive, "updated_by": always("ops")}},
	"ssh_keys": {rows: few, cells: map[string]cell{
		"name": sshKey, "fingerprint": func(m *maker, _ int) any { return "SHA256:" + randomHex(m.rng, 43) }, "key_type": oneOf("ed25519", "rsa"),
		"private_path": func(m *maker, i int) any { return "/home/cidx/.ssh/" + sshKey(m, i).(string) },
		"public_path":  func(m *maker, i int) any { return "/home/cidx/.ssh/" + sshKey(m, i).(string) + ".pub" },
		"created_at":   naiveLocal, "imported_at": sometimes(2, naiveLocal), "private_key": always(nil)}},
	"ssh_key_hosts": {cells: map[string]cell{
		"key_name": func(m *maker, i int) any { return sshKey(m, 1+i%few(m.world)) }, "hostname": named("git%d.example.org")}},
	"hnsw_orphan_sweep_state": {rows: exactly(1), cells: map[string]cell{"last_completed_key": always("billing/voyage-code-3")}},
	"golden_repo_reconcile_auto_heal_event": {rows: exactly(1), cells: map[string]cell{
		"removed_aliases": always(`["gone-repo",  "früher"]`)}},
	"golden_repo_reconcile_breaker_state": {rows: exactly(1), cells: map[string]cell{"consecutive_count": always(2)}},
	"maintenance_state":                   {rows: exactly(1), cells: map[string]cell{"enabled": always(0)}},
	"_health_check":                       {rows: exactly(1)},
	"rate_limit_lockouts":                 {cells: map[string]cell{"identifier": named("198.51.100.%d")}},
	"node_metrics":                        {cells: map[string]cell{"volumes_json": document, "node_id": always("local")}},
	"logs": {cells: map[string]cell{
		"timestamp": iso, "level": oneOf("INFO", "WARNING", "ERROR"), "created_at": func(m *maker, i int) any {
			return []cell{zulu, naive}[i%2](m, i)
		}}},
	"oauth_clients": {cells: map[string]cell{
		"client_id": clientID, "client_name": words("Client"), "redirect_uris": always(`["https://app.example.org/cb",   "http:\/\/localhost:1\/"]`),
		"created_at": func(m *maker, i int) any {
			if i == 1 { // the row that every CIDX server makes itself
				return "2000-01-01T00:00:00+00:00"
			}
			return iso(m, i)
		}, "metadata": sometimes(3, document)}},
	"oauth_codes": {cells: map[string]cell{
		"code": hexOf(40), "client_id": clientRef, "code_challenge": hexOf(43), "redirect_uri": always("https://app.example.org/cb"), "expires_at": iso}},
	"oauth_tokens": {cells: map[string]cell{
		"token_id": uuid, "client_id": clientRef, "access_token": hexOf(64), "refresh_token": sometimes(4, hexOf(64)),
		"expires_at": iso, "last_activity": iso, "hard_expires_at": iso}},
	"oidc_identity_links": {rows: half, cells: map[string]cell{
		"username": userAt, "subject": named("keycloak|%d"), "last_login": sometimes(3, iso)}},
	"token_families": {cells: map[string]cell{"family_id": familyID, "is_revoked": flag01, "revocation_reason": oneOf(nil, "replay", "logout")}},
	"refresh_tokens": {cells: map[string]cell{
		"token_id": uuid, "family_id": func(m *maker, i int) any { return familyID(m, 1+i%m.Rows) }, "token_hash": hexOf(64),
		"is_used": flag01, "parent_token_id": sometimes(2, uuid)}},
	"scip_dependency_installations": {cells: map[string]cell{
		"timestamp": naive, "job_id": uuid, "project_path": sometimes(3, words("src/")), "project_language": oneOf("python", "go", nil, "c#"),
		"project_build_system": oneOf("poetry", nil, "maven"), "package": words("pkg"), "command": words("pip install"),
		"node_id": sometimes(2, always("local"))}},
}

func clientID(_ *maker, i int) any {
	if i == 1 {
		return "client_credentials"
	}
	return fmt.Sprintf("client-%06d", i)
}

func clientRef(m *maker, i int) any { return clientID(m, 1+i%m.Rows) }
func familyID(_ *maker, i int) any  { return fmt.Sprintf("family-%06d", i) }

func sshKey(_ *maker, i int) any {
	if i == 1 {
		return "deploy-key"
	}
	return fmt.Sprintf("key_%d", i)
}
