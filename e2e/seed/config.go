package seed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// standaloneConfig is config.json as a standalone server leaves it: only the
// keys it needs before it has a database.
func standaloneConfig(home string) []byte {
	return append(pythonJSON([]pair{
		{"server_dir", home}, {"storage_mode", "sqlite"}, {"postgres_dsn", nil}, {"ontap", nil}, {"cluster", nil},
		{"clone_backend", "local"}, {"cow_daemon", nil}, {"enable_malloc_arena_max", true}, {"enable_malloc_trim", true},
		{"enable_graph_channel_repair", true}, {"graph_repair_self_loop", "enabled"}, {"graph_repair_malformed_yaml", "enabled"},
		{"fault_injection_enabled", false}, {"fault_injection_nonprod_ack", false}, {"server_threadpool_size", 40},
		{"mcp_dispatch_pool_size", 40}, {"query_executor_pool_size", 0}, {"pace_maker_clone_path", nil},
		{"enable_predeactivation_leak_scan", false}, {"orphan_trash_sweep_per_startup_cap", 100}}), '\n')
}

// makeConfig writes config.json and the small files around it.
func (w *world) makeConfig() error {
	type small struct {
		name, content string
		mode          os.FileMode
	}
	files := []small{
		{"config.json", string(standaloneConfig(w.Home)), 0o600},
		{"config-migration-backup/config.json.pre-centralization", `{"server_dir": "` + w.Home + `", "host": "127.0.0.1", "port": 8000, "jwt_expiration_minutes": 10}`, 0o600},
		{"llm_lease_state.json", `{"encrypted": "` + randomHex(source(w.Random, "lease"), 64) + `"}`, 0o600},
		{"logs/server.log", "server started\n", 0o644},
		{"research/" + sessionID(nil, 1).(string) + "/notes.md", "# Notizen\n", 0o644},
	}
	if w.Port > 0 {
		launch := fmt.Sprintf(`{"host": %q, "port": %d, "workers": 1, "log_level": "INFO"}`, w.Host, w.Port)
		files = append(files, small{"launch.json", launch, 0o644}, small{"applied_launch.json", launch, 0o644})
	}
	if w.Layout == LayoutReal { // servers upgraded from old releases keep this stale folder
		files = append(files, small{"golden-repos/cidx-meta/README.md", "stale\n", 0o644})
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(w.Home, f.name), []byte(f.content), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// Join is what cluster-join.sh does to a home.
type Join struct {
	Home, Share, NodeID string
	DSN                 string // secret
}

// Apply keeps the old file as config.json.bak.<YYYYmmdd_HHMMSS> and rewrites
// config.json in place with mode 0600; it leaves clone_backend alone.
func (j Join) Apply() error {
	if j.Home == "" || j.Share == "" || j.NodeID == "" {
		return fmt.Errorf("join: home, share and node-id must be given")
	}
	path := filepath.Join(j.Home, "config.json")
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if !gjson.ValidBytes(old) {
		return fmt.Errorf("read configuration: %s: invalid JSON", path)
	}
	joined := bytes.Clone(old)
	for _, set := range []pair{
		{"storage_mode", "postgres"}, {"postgres_dsn", j.DSN}, {"ontap", json.RawMessage(j.ontap())}, {"cluster", map[string]any{"node_id": j.NodeID}},
	} {
		if joined, err = sjson.SetBytes(joined, set.key, set.value); err != nil {
			return fmt.Errorf("set %s: %w", set.key, err)
		}
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, joined, "", "  "); err != nil {
		return fmt.Errorf("format configuration: %w", err)
	}
	backup := path + ".bak." + time.Now().Format("20060102_150405")
	if err := writeFile(backup, old, 0o600); err != nil {
		return err
	}
	return writeFile(path, []byte(strings.TrimRight(pretty.String(), "\n")+"\n"), 0o600)
}

func (j Join) ontap() string {
	return fmt.Sprintf(`{"endpoint": "https://fsx.example.org", "svm_name": "svm-cidx", "parent_volume": "cidx_repos", "mount_point": %s,
"admin_user": "fsxadmin", "admin_password": "", "nfs_data_lif": "203.0.113.7", "nfs_export": "/cidx"}`, asciiString(j.Share))
}
