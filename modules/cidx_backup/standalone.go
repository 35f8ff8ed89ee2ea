package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/regular"
)

// prepare writes the standalone configuration before the server is stopped: from
// the stop on, every way back begins with it.
func (k *keeper) prepare(ctx context.Context) error {
	standing, err := k.Standing()
	if err != nil {
		return err
	}
	if !k.check && len(standing.Entries) == 0 {
		if err := k.note(eventPrepared, nil); err != nil {
			return err
		}
	}
	k.reply.Msg = "the standalone configuration is kept"
	return k.takeConfig(ctx, standing)
}

// takeConfig writes config.json.pre-cluster, once, and keeps the cluster's
// configuration in the state folder.
func (k *keeper) takeConfig(ctx context.Context, standing home.Standing) error {
	now, err := k.Config(ctx)
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
	if old, err := regular.Read(path); err == nil && bytes.Equal(old, now.Raw) {
		return nil
	}
	k.reply.Changed = true
	if k.check {
		return nil
	}
	if err := durable.MakeFolder(string(k.State())); err != nil {
		return err
	}
	k.reach("keep config.json")
	return durable.Write(path, now.Raw, nil)
}

// preCluster writes the standalone configuration beside config.json. One that
// is there stays, unless a whole migration and rollback lie between it and a
// standalone configuration that differs: then it is renamed.
func (k *keeper) preCluster(ctx context.Context, now home.Config, info os.FileInfo, standing home.Standing) error {
	path := now.Path + home.PreCluster
	there, err := home.ReadConfig(ctx, path)
	if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) {
		raw, from, err := home.Standalone(ctx, now)
		if err != nil {
			return err
		}
		return k.writePreCluster(ctx, path, raw, info, from)
	}
	if err != nil {
		return err
	}
	if there.StorageMode != cidx.ModeSQLite {
		return problem.Problem{
			What: fmt.Sprintf("storage_mode is %q: not a standalone configuration, so no rollback could use it", there.StorageMode),
			At:   path, Fix: "move the file away; the migration writes a standalone one",
		}
	}
	again := standing.Cutover == home.ToStandalone && !now.Cluster() && !bytes.Equal(now.Raw, there.Raw)
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
	if err := durable.Write(path, raw, info); err != nil {
		return err
	}
	progress.Line(ctx, "  Backup: config.json.pre-cluster (from %s)", from)
	return nil
}
