package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/progress"
)

// restore brings back what a cluster start has changed.
func (k *keeper) restore(ctx context.Context) error {
	m, ok, err := readManifest(k.State())
	if err != nil {
		return err
	}
	if !ok {
		k.reply.Msg = "no backup was taken, nothing is to be restored"
		return nil
	}
	standing, err := k.Standing()
	if err != nil {
		return err
	}
	m = m.located(k.Common)
	differences, err := m.compare()
	if err != nil {
		return err
	}
	touched := restorable(differences)
	why := k.ownWrites(ctx, standing)
	if len(touched) == 0 || why != "" {
		if len(touched) > 0 {
			k.reply.Warnings = append(k.reply.Warnings, fmt.Sprintf("%d files differ from the backup and stay as they are: %s", len(touched), why))
		}
		k.reply.Msg = "nothing is to be restored"
		return k.finish(standing)
	}
	k.reply.Changed, k.reply.Data["differences"] = true, touched
	k.reply.Msg = fmt.Sprintf("%d files that a cluster start had changed are restored", len(touched))
	if k.check {
		return nil
	}
	return k.bringBack(ctx, m, touched, standing)
}

// restorable are the differences that are ours to undo. Alias files are never
// written by a cluster start.
func restorable(differences []difference) []difference {
	list := []difference{}
	for _, d := range differences {
		if d.of.Kind != kindAlias {
			list = append(list, d)
		}
	}
	return list
}

// ownWrites says why the differences are the standalone server's own, "" if a
// cluster start made them. Then nothing is restored: it would destroy what
// users did after they had gone back by hand.
func (k *keeper) ownWrites(ctx context.Context, standing cidx.Standing) string {
	cluster, was := false, ""
	for _, e := range standing.Entries {
		direction, _ := e.Data["state"].(string)
		switch {
		case e.Module == cidx.ConfigModule && e.Event == cidx.ConfigBegun && direction == cidx.ToCluster:
			cluster, was = true, ""
		case e.Module == cidx.ConfigModule && e.Event == cidx.ConfigBegun && direction == cidx.ToStandalone:
			was, _ = e.Data["config_was"].(string)
		case e.Module == name && e.Event == eventRestored:
			cluster = false
		}
	}
	if !cluster {
		return "no cluster start has happened since they were last as recorded"
	}
	if was == "" {
		if now, err := cidx.ReadConfig(ctx, filepath.Join(k.Home, "config.json")); err == nil {
			was = now.StorageMode
		}
	}
	if was == cidx.ModeSQLite {
		return "config.json had been made standalone by hand, so the standalone server may have written them"
	}
	return ""
}

// finish remembers that this rollback has nothing more to restore.
func (k *keeper) finish(standing cidx.Standing) error {
	if k.check || standing.Cutover == "" && standing.Begun == "" {
		return nil
	}
	for _, e := range standing.Since(cidx.ConfigModule, cidx.ConfigBegun) {
		if e.Module == name && e.Event == eventRestored {
			return nil
		}
	}
	return k.note(eventRestored, map[string]any{"files": 0})
}

// bringBack sets the cluster's versions aside, all of them before the first
// original comes back, and restores the files of each database together.
func (k *keeper) bringBack(ctx context.Context, m manifest, touched []difference, standing cidx.Standing) error {
	if err := k.sound(m, touched); err != nil {
		return err
	}
	if err := k.nobodyWrites(wantedOf(m)); err != nil {
		return err
	}
	aside, fresh := k.asideFolder(standing)
	if fresh {
		if err := k.note(eventRestoring, map[string]any{"aside": aside}); err != nil {
			return err
		}
	}
	for _, d := range touched {
		if err := setVersionAside(d, k.State().Path(aside)); err != nil {
			return err
		}
	}
	for _, d := range touched {
		if err := ctx.Err(); err != nil {
			return err
		}
		k.reach("restore " + d.of.Path)
		if err := k.restoreFile(d); err != nil {
			return err
		}
	}
	left, err := m.compare()
	if err != nil {
		return err
	}
	if left = restorable(left); len(left) > 0 {
		return cidx.Problem{What: "still differs after it was restored: " + left[0].What, At: left[0].Path, Fix: "something writes there; stop it and run cluster-rollback.yml again"}
	}
	k.reply.Data["set_aside"] = k.State().Path(aside)
	progress.Line(ctx, "  Restored: %d files that the cluster had touched (its versions: %s)", len(touched), k.State().Path(aside))
	return k.note(eventRestored, map[string]any{"files": len(touched), "aside": aside})
}

// sound proves that the copies are what was recorded, before anything is moved.
func (k *keeper) sound(m manifest, touched []difference) error {
	var problems cidx.Problems
	for _, d := range touched {
		if d.of.Absent {
			continue
		}
		path := k.State().Path(d.of.Copy)
		if sum, err := hashFile(path); err != nil || sum != d.of.SHA256 {
			problems = append(problems, cidx.Problem{What: "the copy is not what was recorded, so " + m.at(d.of) + " cannot be restored from it", At: path, Fix: "restore the file from another backup; nothing was changed"})
		}
	}
	return problems.Err()
}

func wantedOf(m manifest) []wanted {
	var list []wanted
	for _, s := range m.Sources {
		list = append(list, wanted{path: m.at(s), kind: s.Kind})
	}
	return list
}

// asideFolder names the folder for the cluster's versions; an interrupted
// restore goes on with its own.
func (k *keeper) asideFolder(standing cidx.Standing) (folder string, fresh bool) {
	for _, e := range standing.Since(name, eventRestored) {
		if e.Module == name && e.Event == eventRestoring {
			if aside, ok := e.Data["aside"].(string); ok {
				return aside, false
			}
		}
	}
	return filepath.Join("after-cluster", time.Now().UTC().Format("20060102_150405")), true
}

// setVersionAside copies the present version of a file. What an interrupted
// run has set aside is the cluster's; what lies there now may be half restored.
func setVersionAside(d difference, folder string) error {
	rel := d.of.Path
	to := filepath.Join(folder, rel)
	if _, err := os.Lstat(to); err == nil || d.What == "missing" {
		return err
	}
	part := to + unfinished
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set aside: %w", err)
	}
	if _, err := copyFile(d.Path, part); err != nil {
		return fmt.Errorf("set %s aside: %w", d.Path, err)
	}
	if err := os.Rename(part, to); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	return jsonfile.SyncFolder(filepath.Dir(to))
}

// restoreFile puts the original back with its owner, mode and time, or removes
// what was not there. A database's -shm is only an index of its -wal; it goes.
func (k *keeper) restoreFile(d difference) error {
	if d.of.Kind == kindDatabase {
		base := strings.TrimSuffix(strings.TrimSuffix(d.Path, "-wal"), "-journal")
		if err := removeFile(base + "-shm"); err != nil {
			return err
		}
	}
	if d.of.Absent {
		if err := removeFile(d.Path); err != nil {
			return err
		}
		return jsonfile.SyncFolder(filepath.Dir(d.Path))
	}
	temp := d.Path + ".cidx-cluster.tmp"
	if err := removeFile(temp); err != nil {
		return err
	}
	if _, err := copyFile(k.State().Path(d.of.Copy), temp); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(temp, d.of.UID, d.of.GID); err != nil {
			return fmt.Errorf("restore owner: %w", err)
		}
	}
	if err := os.Chmod(temp, fs.FileMode(d.of.Mode)); err != nil {
		return fmt.Errorf("restore mode: %w", err)
	}
	if err := os.Chtimes(temp, d.of.Time, d.of.Time); err != nil {
		return fmt.Errorf("restore time: %w", err)
	}
	if err := os.Rename(temp, d.Path); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return jsonfile.SyncFolder(filepath.Dir(d.Path))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

// prove compares every source with the record.
func (k *keeper) prove(ctx context.Context) error {
	m, ok, err := readManifest(k.State())
	if err != nil {
		return err
	}
	if !ok {
		k.reply.Msg = "no backup was taken, there is nothing to compare with"
		return nil
	}
	differences, err := m.located(k.Common).compare()
	if err != nil {
		return err
	}
	files, bytes := m.present("")
	k.reply.Data["files"], k.reply.Data["bytes"], k.reply.Data["differences"] = files, bytes, differences
	k.reply.Data["kept_since"] = m.Time.Local().Format("2006-01-02 15:04:05")
	if len(differences) == 0 {
		k.reply.Msg = fmt.Sprintf("%d files are as they were before the migration", files)
		progress.Line(ctx, "  Sources: %d files as before the migration (%s)", files, cidx.Size(bytes))
		return nil
	}
	var problems cidx.Problems
	for _, d := range differences {
		problems = append(problems, cidx.Problem{What: d.What + " since the backup", At: d.Path, Fix: "the original is kept in " + k.State().Path(d.of.Copy)})
	}
	return problems.Err()
}
