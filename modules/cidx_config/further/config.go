package further

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
)

// configNow is config.json, or what a server that never ran would begin with.
func (j *joining) configNow(ctx context.Context) (home.Config, error) {
	if !cutover.Missing(j.ConfigPath()) {
		return j.Config(ctx)
	}
	if info, err := os.Stat(j.Home); err != nil || !info.IsDir() {
		return home.Config{}, problem.Problem{What: "no such folder", At: j.Home,
			Fix: "install CIDX on this node first, and name the server's data directory (server_dir) in cidx_home"}
	}
	raw := fmt.Appendf(nil, "{\n  \"server_dir\": %q,\n  \"storage_mode\": %q\n}\n", j.Home, cidx.ModeSQLite)
	return home.ParseConfig(ctx, j.ConfigPath(), raw)
}

// wanted is the configuration from which the cluster's values are taken: what
// cluster-join.sh has left here, else what the other node has, without its name.
func (j *joining) wanted(ctx context.Context, now home.Config) (home.Config, error) {
	kept, err := j.ClusterConfig(ctx)
	if err == nil {
		return kept, nil
	}
	doc := map[string]any{"storage_mode": cidx.ModePostgres, "postgres_dsn": j.given.DSN}
	for _, key := range settings {
		if v, ok := j.given.Settings[key]; ok {
			doc[key] = v
		}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return now, fmt.Errorf("encode the cluster's settings: %w", err)
	}
	return home.ParseConfig(ctx, now.Path, raw)
}

// nodeID is the operator's name for this node, else cluster-join.sh's, else the
// host's.
func (j *joining) nodeID(found cutover.Found) string {
	host, _ := os.Hostname() // a node without one is refused for its empty id
	return cmp.Or(j.ID, found.Kept.NodeID, host)
}

// editConfig plans to write the cluster's values to config.json; those of the
// sharding are the same on all nodes.
func (j *joining) editConfig(found cutover.Found) error {
	edits, err := cutover.ClusterEdits(found, j.nodeID(found))
	if err != nil {
		return err
	}
	for _, key := range []string{"sharding_enabled", "shard_replicas"} {
		v := gjson.GetBytes(j.given.Settings["cluster"], key)
		if v.Exists() && v.Raw != jsonfile.Get(found.Now.Raw, "cluster", key).Raw {
			edits = append(edits, jsonfile.Edit{Path: []string{"cluster", key}, Value: json.RawMessage(v.Raw)})
		}
	}
	return j.Edit(found.Now, edits)
}
