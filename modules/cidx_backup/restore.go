package backup

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// restore brings back what a cluster start has changed.
func (k *keeper) restore(ctx context.Context) error {
	m, ok, err := kept.Read(k.places)
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
	differences, err := m.Compare(k.places)
	if err != nil {
		return err
	}
	touched := ofCluster(differences)
	why := k.ownWrites(ctx, standing)
	if len(touched) == 0 || why != "" {
		if len(touched) > 0 {
			k.reply.Warnings = append(k.reply.Warnings,
				fmt.Sprintf("%d files differ from the backup and stay as they are: %s", len(touched), why))
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

// ofCluster are the differences that are ours to undo. Alias files are never
// written by a cluster start, and config.json comes back with the folders.
func ofCluster(differences []kept.Difference) []kept.Difference {
	list := []kept.Difference{}
	for _, d := range differences {
		if d.Of.Kind == kept.Database || d.Of.Kind == kept.Key {
			list = append(list, d)
		}
	}
	return list
}

// ownWrites says why the differences are the standalone server's own, "" if a
// cluster start made them. Then nothing is restored: it would destroy what
// users did after they had gone back by hand.
func (k *keeper) ownWrites(ctx context.Context, standing home.Standing) string {
	cluster, was := false, ""
	for _, e := range standing.Entries {
		direction, _ := e.Data["state"].(string)
		switch {
		case e.Module == home.ConfigModule && e.Event == home.ConfigBegun && direction == home.ToCluster:
			cluster, was = true, ""
		case e.Module == home.ConfigModule && e.Event == home.ConfigBegun && direction == home.ToStandalone:
			was, _ = e.Data["config_was"].(string)
		case e.Module == name && e.Event == eventRestored:
			cluster = false
		}
	}
	if !cluster {
		return "no cluster start has happened since they were last as recorded"
	}
	if was == "" {
		if now, err := k.Config(ctx); err == nil {
			was = now.StorageMode
		}
	}
	if was == cidx.ModeSQLite {
		return "config.json had been made standalone by hand, so the standalone server may have written them"
	}
	return ""
}

// finish remembers that this rollback has nothing more to restore.
func (k *keeper) finish(standing home.Standing) error {
	if k.check || standing.Cutover == "" && standing.Begun == "" {
		return nil
	}
	for _, e := range standing.Since(home.ConfigModule, home.ConfigBegun) {
		if e.Module == name && e.Event == eventRestored {
			return nil
		}
	}
	return k.note(eventRestored, map[string]any{"files": 0})
}

// bringBack sets the cluster's versions aside, all of them before the first
// original comes back, and restores the files of each database together.
func (k *keeper) bringBack(ctx context.Context, m kept.Record, touched []kept.Difference, standing home.Standing) error {
	if err := k.sound(touched); err != nil {
		return err
	}
	if err := k.nobodyWrites(); err != nil {
		return err
	}
	aside, fresh := k.asideFolder(standing)
	if fresh {
		if err := k.note(eventRestoring, map[string]any{"aside": aside}); err != nil {
			return err
		}
	}
	for _, d := range touched {
		if err := k.setVersionAside(d, aside); err != nil {
			return err
		}
	}
	for _, d := range touched {
		if err := ctx.Err(); err != nil {
			return err
		}
		k.reach("restore " + d.Of.Path)
		if err := k.restoreFile(d); err != nil {
			return err
		}
	}
	left, err := m.Compare(k.places)
	if err != nil {
		return err
	}
	if left = ofCluster(left); len(left) > 0 {
		return problem.Problem{What: "still differs after it was restored: " + left[0].What, At: left[0].Path,
			Fix: "something writes there; stop it and run cluster-rollback.yml again"}
	}
	k.reply.Data["set_aside"] = k.State().Path(aside)
	progress.Line(ctx, "  Restored: %s that the cluster had touched (its versions: %s)",
		human.Count(len(touched), "file", "files"), k.State().Path(aside))
	return k.note(eventRestored, map[string]any{"files": len(touched), "aside": aside})
}

// sound proves that the copies are what was recorded, before anything is moved.
func (k *keeper) sound(touched []kept.Difference) error {
	var sources []kept.Source
	for _, d := range touched {
		sources = append(sources, d.Of)
	}
	problems, err := k.places.Copies(sources)
	if err != nil {
		return err
	}
	return problems.Err()
}

// asideFolder names the folder for the cluster's versions, below the state
// folder; an interrupted restore goes on with its own.
func (k *keeper) asideFolder(standing home.Standing) (folder string, fresh bool) {
	for _, e := range standing.Since(name, eventRestored) {
		if e.Module == name && e.Event == eventRestoring {
			if aside, ok := e.Data["aside"].(string); ok && filepath.IsLocal(aside) && strings.HasPrefix(aside, "after-cluster/") {
				return filepath.Clean(aside), false
			}
		}
	}
	return filepath.Join("after-cluster", time.Now().UTC().Format("20060102_150405")), true
}
