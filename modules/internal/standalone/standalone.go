// Package standalone finds what config.json was, or would be, on a standalone
// server. cluster-join.sh of CIDX 11.79 has switched config.json to PostgreSQL
// long before a migration, so a copy of that file is no way back. It never writes.
package standalone

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sort"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
)

// Config returns the configuration of the standalone server, and for the
// transcript where it is from: now, which is config.json, if it is one; else the
// newest standalone file that cluster-join.sh kept beside it; else now without
// its cluster settings.
func Config(ctx context.Context, now home.Config) (raw []byte, from string, err error) {
	if !now.Cluster() {
		return now.Raw, "config.json", nil
	}
	backups, err := filepath.Glob(escapeGlob(now.Path) + ".bak.*")
	if err != nil {
		return nil, "", fmt.Errorf("look for config.json.bak: %w", err)
	}
	// The names end in the time: config.json.bak.20260102_030405.
	sort.Sort(sort.Reverse(sort.StringSlice(backups)))
	for _, path := range backups {
		old, err := home.ReadConfig(ctx, path)
		if err == nil && trulyStandalone(old) {
			return old.Raw, filepath.Base(path), nil
		}
	}
	if raw, err = withoutCluster(now.Raw); err != nil {
		return nil, "", problem.Problem{What: err.Error(), At: now.Path, Fix: "put a standalone configuration beside it as config.json" + home.PreCluster}
	}
	return raw, "config.json without its cluster settings", nil
}

// trulyStandalone demands more than the mode: a file that still names a
// database or a cluster was not written by a standalone server.
func trulyStandalone(c home.Config) bool {
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

// escapeGlob takes a path literally.
func escapeGlob(path string) string {
	var b bytes.Buffer
	for _, c := range []byte(path) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}
