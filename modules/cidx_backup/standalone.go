package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/progress"
)

// takeConfig writes config.json.pre-cluster, once, and keeps the cluster's
// configuration in the state folder.
func (k *keeper) takeConfig(ctx context.Context, standing cidx.Standing) error {
	now, err := cidx.ReadConfig(ctx, filepath.Join(k.Home, "config.json"))
	if err != nil {
		return err
	}
	info, err := os.Stat(now.Path)
	if err != nil {
		return fmt.Errorf("keep configuration: %w", err)
	}
	if err := k.preCluster(ctx, now, info, standing); err != nil {
		return err
	}
	if !now.Cluster() {
		return nil
	}
	path := k.State().ClusterConfig()
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, now.Raw) {
		return nil
	}
	k.reply.Changed = true
	if k.check {
		return nil
	}
	if err := journal.MakeFolder(string(k.State())); err != nil {
		return err
	}
	k.reach("keep config.json")
	return jsonfile.WriteAtomic(path, now.Raw, nil)
}

// preCluster writes the standalone configuration beside config.json. One that
// is there stays, unless a whole migration and rollback lie between it and a
// standalone configuration that differs: then it is renamed.
func (k *keeper) preCluster(ctx context.Context, now cidx.Config, info os.FileInfo, standing cidx.Standing) error {
	path := now.Path + cidx.PreCluster
	there, err := cidx.ReadConfig(ctx, path)
	if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) {
		raw, from, err := k.standalone(ctx, now)
		if err != nil {
			return err
		}
		return k.writePreCluster(ctx, path, raw, info, from)
	}
	if err != nil {
		return err
	}
	if there.StorageMode != cidx.ModeSQLite {
		return cidx.Problem{What: fmt.Sprintf("storage_mode is %q: not a standalone configuration, so no rollback could use it", there.StorageMode), At: path, Fix: "move the file away; the migration writes a standalone one"}
	}
	again := standing.Cutover == cidx.ToStandalone && !now.Cluster() && !bytes.Equal(now.Raw, there.Raw)
	if !again {
		return nil
	}
	if !k.check {
		aside := path + "." + time.Now().UTC().Format("20060102_150405")
		if err := os.Rename(path, aside); err != nil {
			return fmt.Errorf("set config.json.pre-cluster aside: %w", err)
		}
	}
	return k.writePreCluster(ctx, path, now.Raw, info, "config.json")
}

func (k *keeper) writePreCluster(ctx context.Context, path string, raw []byte, info os.FileInfo, from string) error {
	k.reply.Changed = true
	if k.check {
		return nil
	}
	k.reach("write config.json.pre-cluster")
	if err := jsonfile.WriteAtomic(path, raw, info); err != nil {
		return err
	}
	progress.Line(ctx, "  Backup: config.json.pre-cluster (standalone, from %s)", from)
	return nil
}

// standalone finds the configuration of the standalone server: config.json
// itself if it is one, else the newest standalone file that cluster-join.sh
// kept, else config.json without its cluster settings.
func (k *keeper) standalone(ctx context.Context, now cidx.Config) (raw []byte, from string, err error) {
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
		old, err := cidx.ReadConfig(ctx, path)
		if err == nil && trulyStandalone(old) {
			return old.Raw, filepath.Base(path), nil
		}
	}
	raw, err = withoutCluster(now.Raw)
	return raw, "config.json without its cluster settings", err
}

// trulyStandalone demands more than the mode: a file that still names a
// database or a cluster was not written by a standalone server.
func trulyStandalone(c cidx.Config) bool {
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
