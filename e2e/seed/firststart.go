package seed

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// FirstStart leaves in PostgreSQL what a first cluster start before the data
// load leaves (CIDX 11.79): an admin with password admin, the jobs of a start,
// groups, grants, a configuration, the repository cidx-meta, a node. home, if given, is where the
// local .jwt_secret is read; without one a random value is stored. The MFA key is
// always a new one.
func FirstStart(ctx context.Context, dsn, home string) error {
	return firstStart(ctx, dsn, home, true)
}

// FirstStartRows is FirstStart without the keys in cluster_secrets.
func FirstStartRows(ctx context.Context, dsn, home string) error {
	return firstStart(ctx, dsn, home, false)
}

func firstStart(ctx context.Context, dsn, home string, keys bool) error {
	if err := ApplySchema(ctx, dsn, true); err != nil {
		return err
	}
	rng := source(uint64(os.Getpid()), "first start")
	jwt := randomHex(rng, 48)
	if home != "" {
		text, err := os.ReadFile(filepath.Join(home, ".jwt_secret"))
		if err != nil {
			return fmt.Errorf("read JWT secret: %w", err)
		}
		jwt = strings.TrimSpace(string(text))
	}
	clone := filepath.Join(cmp.Or(home, "/home/cidx/.cidx-server"), "data", "golden-repos", "cidx-meta")
	seeds := firstRows(clone)
	if keys {
		seeds = append(seeds, statement{`INSERT INTO cluster_secrets (key_name, key_value) VALUES ('jwt_secret', $1), ('mfa_encryption_key', $2), ('ssh_key_encryption_key', $3) ON CONFLICT DO NOTHING`,
			[]any{jwt, base64.URLEncoding.EncodeToString(randomBytes(rng, 32)), base64.URLEncoding.EncodeToString(randomBytes(rng, 32))}})
	}
	return inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		for _, s := range seeds {
			if _, err := tx.Exec(ctx, s.sql, s.args...); err != nil {
				return fmt.Errorf("leave rows of a first start: %w", err)
			}
		}
		return nil
	})
}

type statement struct {
	sql  string
	args []any
}

// adminHash is "admin" as the server stores it, made with bcrypt.
const adminHash = "$2b$12$q0vXr1yJ8b9TzQd1uFhK4e7W8zMzDIpU6EPC7Ad7rTiyTJFJtx7VG"

// firstRows inserts each row only if its key is free, as the server does.
func firstRows(clone string) []statement {
	return []statement{
		{`INSERT INTO users (username, password_hash, role, created_at, password_changed_at) VALUES ('admin', $1, 'admin', now(),
			to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00') ON CONFLICT DO NOTHING`, []any{adminHash}},
		{`INSERT INTO background_jobs (job_id, operation_type, status, created_at, started_at, completed_at, progress, username, is_admin, repo_alias)
			SELECT gen_random_uuid()::text, o, 'completed', now(), now(), now(), 100, CASE o WHEN 'golden_repo_reconcile_sweep' THEN 'system-reconcile' ELSE 'system' END,
			true, CASE o WHEN 'golden_repo_reconcile_sweep' THEN '__golden_repo_reconcile_sweep__' END
			FROM unnest('{startup_reconcile,data_retention_cleanup,reap_activated_repos,embedding_stats_retention_sweep,hnsw_orphan_repair_sweep,golden_repo_reconcile_sweep}'::text[]) AS o
			WHERE NOT EXISTS (SELECT FROM background_jobs)`, nil},
		{`INSERT INTO groups (name, description, is_default) VALUES ('admins', 'Full access', true), ('powerusers', 'All repositories', true),
			('users', 'Basic access', true) ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO user_group_membership (user_id, group_id, assigned_by) SELECT 'admin', id, 'system' FROM groups WHERE name = 'admins' ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO repo_group_access (repo_name, group_id, granted_by) SELECT 'cidx-meta', id, 'system' FROM groups ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO server_config (config_key, config_json, version, updated_by) VALUES ('runtime', '{"host": "127.0.0.1", "port": 8000, "workers": 1}', 1, 'system') ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO golden_repos_metadata (alias, repo_url, default_branch, clone_path, created_at) VALUES ('cidx-meta', 'local://cidx-meta', 'main', $1, now()) ON CONFLICT DO NOTHING`, []any{clone}},
		{`INSERT INTO global_repos (alias_name, repo_name, repo_url, index_path, created_at, last_refresh) VALUES ('cidx-meta-global', 'cidx-meta', 'local://cidx-meta', $1, now(), now()) ON CONFLICT DO NOTHING`, []any{clone}},
		{`INSERT INTO oauth_clients (client_id, client_name, redirect_uris, created_at) VALUES ('client_credentials', 'Client credentials', '[]', '2000-01-01T00:00:00+00:00') ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO cluster_nodes (node_id, hostname, status, last_heartbeat) VALUES ('node-1', 'cidx-host', 'offline', now()) ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO dependency_map_tracking (id, status) VALUES (1, 'pending') ON CONFLICT DO NOTHING`, nil},
		{`INSERT INTO logs (timestamp, level, source, message) VALUES (now()::text, 'INFO', 'server', 'Storage mode: PostgreSQL (cluster)')`, nil},
	}
}
