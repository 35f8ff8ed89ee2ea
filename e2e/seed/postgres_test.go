package seed

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func ask(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var answer string
	if err := conn.QueryRow(context.Background(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

const tableCount = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"

func TestSchemaIsCIDXs(t *testing.T) {
	dsn := cluster.Database(t)
	for range 2 { // the second time changes nothing
		if err := ApplySchema(context.Background(), dsn, false); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct{ ask, want string }{
		"tables before a first start":       {tableCount, "70"},
		"migration files":                   {"SELECT count(*)::text FROM schema_migrations", "39"},
		"two files have number 024":         {"SELECT count(*)::text FROM schema_migrations WHERE filename LIKE '024%'", "2"},
		"sequence of a serial column":       {"SELECT pg_get_serial_sequence('audit_logs', 'id')", "public.audit_logs_id_seq"},
		"foreign keys":                      {"SELECT count(*)::text FROM pg_constraint WHERE contype = 'f'", "13"},
		"partial unique on active jobs":     {"SELECT (pg_get_indexdef('uq_background_jobs_operation_type'::regclass) LIKE '%WHERE%')::text", "true"},
		"float4 column":                     {"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'dependency_map_run_history'::regclass AND attname = 'pass1_duration_s'", "real"},
		"length of a varchar":               {"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'scip_dependency_installations'::regclass AND attname = 'job_id'", "character varying(36)"},
		"check on the role of a message":    {"SELECT count(*)::text FROM pg_constraint WHERE contype = 'c' AND conrelid = 'research_messages'::regclass", "1"},
		"user_mfa has a unique, but no key": {"SELECT string_agg(contype::text, '') FROM pg_constraint WHERE conrelid = 'user_mfa'::regclass", "u"},
	}
	for name, test := range tests {
		if got := ask(t, dsn, test.ask); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
	if err := ApplySchema(context.Background(), dsn, true); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, dsn, tableCount); got != "76" {
		t.Errorf("tables after a first start: got %s, want 76", got)
	}
}

func TestFirstStartLeavesSeeds(t *testing.T) {
	dsn := cluster.Database(t)
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".jwt_secret"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := FirstStart(context.Background(), dsn, home); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]string{
		"SELECT string_agg(username, ',') FROM users":                                     "admin",
		"SELECT string_agg(name, ',' ORDER BY id) FROM groups":                            "admins,powerusers,users",
		"SELECT string_agg(key_name, ',' ORDER BY key_name) FROM cluster_secrets":         "jwt_secret,mfa_encryption_key,ssh_key_encryption_key",
		"SELECT key_value FROM cluster_secrets WHERE key_name = 'jwt_secret'":             "s3cret",
		"SELECT alias FROM golden_repos_metadata":                                         "cidx-meta",
		"SELECT created_at FROM oauth_clients":                                            "2000-01-01T00:00:00+00:00",
		"SELECT count(*)::text FROM server_config WHERE config_json->>'host' IS NOT NULL": "1",
	}
	for sql, want := range tests {
		if got := ask(t, dsn, sql); got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
}

func TestJoinLeavesAJoinedHome(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "config.json")
	old := standaloneConfig(home)
	if err := os.WriteFile(path, old, 0o644); err != nil {
		t.Fatal(err)
	}
	j := Join{Home: home, Share: "/mnt/cidx-shared", NodeID: "node-1", DSN: "postgresql://cidx:p%26w<@h/d"}
	if err := j.Apply(); err != nil {
		t.Fatal(err)
	}
	var joined map[string]any
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &joined) != nil {
		t.Fatal(err, string(text))
	}
	if joined["storage_mode"] != "postgres" || joined["postgres_dsn"] != j.DSN || joined["clone_backend"] != "local" ||
		joined["ontap"].(map[string]any)["mount_point"] != j.Share || joined["cluster"].(map[string]any)["node_id"] != "node-1" {
		t.Error("config.json is not as cluster-join.sh leaves it")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of config.json: %v %v", info.Mode(), err)
	}
	backups, _ := filepath.Glob(path + ".bak.????????_??????")
	if len(backups) != 1 {
		t.Fatalf("%d backups", len(backups))
	}
	if kept, err := os.ReadFile(backups[0]); err != nil || string(kept) != string(old) {
		t.Errorf("the backup is not the old file: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Apply(); err == nil || !strings.Contains(err.Error(), "invalid JSON") {
		t.Errorf("broken config.json: got %v", err)
	}
}
