package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

// bootstrapKeys stay in config.json; CIDX 11.79 moves every other key into server_config.
var bootstrapKeys = []string{
	"server_dir", "storage_mode", "postgres_dsn", "ontap", "cluster", "clone_backend", "cow_daemon",
	"enable_malloc_arena_max", "enable_malloc_trim", "enable_graph_channel_repair", "graph_repair_self_loop",
	"graph_repair_malformed_yaml", "graph_repair_garbage_domain", "graph_repair_bidirectional_mismatch",
	"fault_injection_enabled", "fault_injection_nonprod_ack", "server_threadpool_size", "mcp_dispatch_pool_size",
	"query_executor_pool_size", "pace_maker_clone_path", "enable_predeactivation_leak_scan",
	"orphan_trash_sweep_per_startup_cap",
}

// strictObjects are parsed into fixed classes by CIDX: a key more and the server does not start.
var strictObjects = map[string][]string{
	"cluster": {"node_id", "sharding_enabled", "shard_replicas"},
	"ontap": {"endpoint", "svm_name", "parent_volume", "mount_point", "admin_user", "admin_password",
		"nfs_data_lif", "nfs_export"},
	"cow_daemon": {"daemon_url", "api_key", "mount_point", "poll_interval_seconds", "timeout_seconds",
		"daemon_storage_path"},
}

const standaloneConfig = `{
  "storage_mode": "sqlite",
  "postgres_dsn": null,
  "ontap": null,
  "cluster": null,
  "clone_backend": "local",
  "cow_daemon": null
}
`

// config is what the server took from config.json.
type config struct {
	path    string
	raw     []byte
	cluster bool // storage_mode postgres
	dsn     string
	nodeID  string
}

// readConfig reads <home>/config.json; a missing file is made, as a fresh standalone server does.
func readConfig(home string) (config, error) {
	c := config{path: filepath.Join(home, "config.json")}
	raw, err := os.ReadFile(c.path)
	if os.IsNotExist(err) {
		raw = []byte(standaloneConfig)
		err = repos.WriteFile(c.path, raw, 0o600)
	}
	if err != nil {
		return c, fmt.Errorf("read config.json: %w", err)
	}
	if !gjson.ValidBytes(raw) || !gjson.ParseBytes(raw).IsObject() {
		return c, fmt.Errorf("read config.json: not a JSON object")
	}
	c.raw = raw
	doc := gjson.ParseBytes(raw)
	if err := checkStrict(doc); err != nil {
		return c, err
	}
	switch mode := doc.Get("storage_mode"); {
	case mode.Type == gjson.Null, mode.String() == "sqlite":
	case mode.String() == "postgres":
		c.cluster = true
	default:
		return c, fmt.Errorf("read config.json: storage_mode: %q is neither sqlite nor postgres", mode.String())
	}
	c.dsn = doc.Get("postgres_dsn").String()
	c.nodeID = doc.Get("cluster.node_id").String()
	if c.cluster && c.dsn == "" {
		return c, fmt.Errorf("read config.json: postgres_dsn: missing, and storage_mode is postgres")
	}
	return c, nil
}

func checkStrict(doc gjson.Result) error {
	for name, allowed := range strictObjects {
		object := doc.Get(name)
		if object.Type == gjson.Null {
			continue
		}
		if !object.IsObject() {
			return fmt.Errorf("read config.json: %s: not an object", name)
		}
		for key := range object.Map() {
			if !slices.Contains(allowed, key) {
				return fmt.Errorf("read config.json: %s: unexpected key %q", name, key)
			}
		}
	}
	return nil
}

// centralize moves the keys that are not bootstrap keys into server_config.runtime and rewrites the file without
// them; the first time it keeps the full file. Without such keys the file stays as it is. An existing row keeps its
// own values in cluster mode and takes the file's in standalone mode.
func (s *Server) centralize(ctx context.Context) error {
	moved := map[string]json.RawMessage{}
	var kept []string
	gjson.ParseBytes(s.cfg.raw).ForEach(func(k, v gjson.Result) bool {
		if slices.Contains(bootstrapKeys, k.String()) {
			key, _ := json.Marshal(k.String())
			kept = append(kept, "  "+string(key)+": "+v.Raw)
		} else {
			moved[k.String()] = json.RawMessage(v.Raw)
		}
		return true
	})
	if err := s.saveRuntime(ctx, moved); err != nil {
		return fmt.Errorf("centralize configuration: %w", err)
	}
	if len(moved) == 0 {
		return s.shardDefaults()
	}
	s.log.Printf("config.json: %d settings moved to server_config", len(moved))
	backup := filepath.Join(s.home, "config-migration-backup", "config.json.pre-centralization")
	if _, err := os.Lstat(backup); os.IsNotExist(err) {
		if err := os.MkdirAll(filepath.Dir(backup), 0o700); err != nil {
			return fmt.Errorf("centralize configuration: %w", err)
		}
		if err := repos.WriteFile(backup, s.cfg.raw, 0o600); err != nil {
			return fmt.Errorf("centralize configuration: %w", err)
		}
	}
	if err := rewriteKept(s.cfg.path, "{\n"+strings.Join(kept, ",\n")+"\n}\n"); err != nil {
		return err
	}
	return s.shardDefaults()
}

// shardDefaults adds what a start in cluster mode adds to the object cluster of config.json.
func (s *Server) shardDefaults() error {
	raw, err := os.ReadFile(s.cfg.path)
	if err != nil || !s.cfg.cluster || !gjson.GetBytes(raw, "cluster").IsObject() {
		return err
	}
	wanted := raw
	for _, d := range []struct{ key, value string }{{"cluster.sharding_enabled", "false"}, {"cluster.shard_replicas", "1"}} {
		if gjson.GetBytes(wanted, d.key).Exists() {
			continue
		}
		if wanted, err = sjson.SetRawBytes(wanted, d.key, []byte(d.value)); err != nil {
			return fmt.Errorf("add %s: %w", d.key, err)
		}
	}
	if bytes.Equal(raw, wanted) {
		return nil
	}
	return rewriteKept(s.cfg.path, string(wanted))
}

func (s *Server) saveRuntime(ctx context.Context, moved map[string]json.RawMessage) error {
	row, err := s.store.Row1(ctx, "server_config", "SELECT config_json FROM server_config WHERE config_key = ?", "runtime")
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format("2006-01-02 15:04:05")
	if row == nil {
		merged := map[string]json.RawMessage{
			"host": json.RawMessage(`"127.0.0.1"`), "port": json.RawMessage("8000"), "log_level": json.RawMessage(`"INFO"`),
		}
		for k, v := range moved {
			merged[k] = v
		}
		text, _ := json.Marshal(merged) // raw messages were valid JSON in the file
		_, err := s.store.Insert(ctx, "server_config", schema.Row{
			"config_key": "runtime", "config_json": string(text), "version": 1, "updated_at": now, "updated_by": "system",
		})
		return err
	}
	present := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(row.Text("config_json")), &present); err != nil {
		return fmt.Errorf("server_config.runtime: %w", err)
	}
	changed := false
	for k, v := range moved {
		if _, has := present[k]; !has || !s.cfg.cluster {
			present[k], changed = v, true
		}
	}
	if !changed {
		return nil
	}
	text, _ := json.Marshal(present)
	_, err = s.store.Exec(ctx, "server_config",
		"UPDATE server_config SET config_json = ?, version = version + 1, updated_at = ?, updated_by = ? WHERE config_key = ?",
		string(text), now, "system", "runtime")
	return err
}

// rewriteKept replaces a file at once and keeps its mode and owner.
func rewriteKept(path, text string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", path, err)
	}
	if err := repos.WriteFile(path, []byte(text), info.Mode().Perm()); err != nil {
		return err
	}
	uid, gid := owner(info)
	return os.Chown(path, uid, gid)
}
