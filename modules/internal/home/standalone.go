package home

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
)

// Standalone is the configuration of the standalone server, and for the transcript
// where it is from: now, which is config.json, if it is one; else the newest
// standalone file that cluster-join.sh kept beside it; else now without its cluster
// settings. cluster-join.sh of CIDX 11.79 has switched config.json to PostgreSQL
// long before a migration, so a copy of that file is no way back.
func Standalone(ctx context.Context, now Config) (raw []byte, from string, err error) {
	if !now.Cluster() {
		return now.Raw, "config.json", nil
	}
	entries, err := os.ReadDir(filepath.Dir(now.Path))
	if err != nil {
		return nil, "", fmt.Errorf("look for config.json.bak: %w", err)
	}
	// The names end in the time: config.json.bak.20260102_030405.
	for _, e := range slices.Backward(entries) {
		if !strings.HasPrefix(e.Name(), filepath.Base(now.Path)+".bak.") {
			continue
		}
		old, err := ReadConfig(ctx, filepath.Join(filepath.Dir(now.Path), e.Name()))
		if err == nil && trulyStandalone(old) {
			return old.Raw, e.Name(), nil
		}
	}
	if raw, err = withoutCluster(now.Raw); err != nil {
		return nil, "", problem.Problem{What: err.Error(), At: now.Path,
			Fix: "put a standalone configuration beside it as config.json" + PreCluster}
	}
	return raw, "config.json without its cluster settings", nil
}

// trulyStandalone demands more than the mode: a file that still names a
// database or a cluster was not written by a standalone server.
func trulyStandalone(c Config) bool {
	return c.StorageMode == cidx.ModeSQLite && c.DSN == "" && c.NodeID == ""
}

// withoutCluster is a configuration as a standalone server keeps it: cluster
// values null or local, everything else as it was.
func withoutCluster(raw []byte) ([]byte, error) {
	edits := []jsonfile.Edit{{Path: []string{"storage_mode"}, Value: cidx.ModeSQLite}}
	for _, key := range []string{"postgres_dsn", "cluster", "ontap", "cow_daemon"} {
		if jsonfile.Get(raw, key).Exists() {
			edits = append(edits, jsonfile.Edit{Path: []string{key}, Value: nil})
		}
	}
	if jsonfile.Get(raw, "clone_backend").Exists() {
		edits = append(edits, jsonfile.Edit{Path: []string{"clone_backend"}, Value: "local"})
	}
	return jsonfile.Set(raw, edits...)
}
