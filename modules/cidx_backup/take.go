package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// folders of one set, and where an unfinished one grows.
var folders = []string{"snapshot", "aliases"}

const unfinished = ".unfinished"

// take keeps everything a rollback needs.
func (k *keeper) take(ctx context.Context) error {
	list, err := k.find()
	if err != nil {
		return err
	}
	standing, err := k.Standing()
	if err != nil {
		return err
	}
	if err := k.takeConfig(ctx, standing); err != nil {
		return err
	}
	m, keep, err := k.usable(standing)
	if err != nil {
		return err
	}
	if keep {
		return k.keepOld(ctx, m)
	}
	files, bytes := 0, int64(0)
	for _, w := range list {
		if !w.absent {
			files, bytes = files+1, bytes+w.size
		}
	}
	k.reply.Changed = true
	k.reply.Data["files"], k.reply.Data["bytes"] = files, bytes
	if k.check {
		k.reply.Msg = fmt.Sprintf("%d files (%s) would be kept in %s", files, cidx.Size(bytes), k.State())
		return nil
	}
	if err := k.nobodyWrites(list); err != nil {
		return err
	}
	return k.takeNew(ctx, list, bytes)
}

// usable answers with the set of an earlier run if it still stands for the
// standalone server. After a completed cut-over it does, whatever the sources
// look like: a cluster start writes into the SQLite files. Before, and after a
// rollback, the sources must be unchanged: else the standalone server has run.
func (k *keeper) usable(standing cidx.Standing) (manifest, bool, error) {
	m, ok, err := readManifest(k.State())
	if err != nil || !ok {
		return m, false, err
	}
	for _, s := range m.Sources {
		if s.Absent {
			continue
		}
		if info, err := os.Lstat(k.State().Path(s.Copy)); err != nil || info.Size() != s.Size {
			return m, false, nil
		}
	}
	if standing.Cutover == cidx.ToCluster {
		return m, true, nil
	}
	differences, err := m.located(k.Common).compare()
	return m, err == nil && len(differences) == 0, err
}

func (k *keeper) keepOld(ctx context.Context, m manifest) error {
	files, bytes := m.present("")
	since := m.Time.Local().Format("2006-01-02 15:04:05")
	k.reply.Data["files"], k.reply.Data["bytes"], k.reply.Data["kept_since"] = files, bytes, since
	k.reply.Msg = "the backup of " + since + " stands"
	if !k.check {
		progress.Line(ctx, "  Backup: kept from %s (sources unchanged)", since)
	}
	return nil
}

// nobodyWrites refuses to copy databases that somebody has open.
func (k *keeper) nobodyWrites(list []wanted) error {
	var files []string
	for _, w := range list {
		if w.kind == kindDatabase {
			files = append(files, w.path)
		}
	}
	holders, _, err := service.Holders(files, nil)
	if err != nil {
		return err
	}
	var problems cidx.Problems
	for _, p := range holders {
		problems = append(problems, cidx.Problem{What: "open in " + p.String(), At: p.Path, Fix: "stop the server first (cluster-migrate.yml does)"})
	}
	return problems.Err()
}

// takeNew copies into unfinished folders, renames them into place and writes
// the manifest last.
func (k *keeper) takeNew(ctx context.Context, list []wanted, total int64) error {
	state := k.State()
	if err := journal.MakeFolder(string(state)); err != nil {
		return err
	}
	for _, f := range folders {
		if err := os.RemoveAll(state.Path(f + unfinished)); err != nil {
			return fmt.Errorf("remove unfinished backup: %w", err)
		}
	}
	m := manifest{Time: time.Now().UTC(), Home: k.Home}
	done := int64(0)
	for _, w := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		progress.Report(ctx, progress.Status{What: "backup " + w.name, Done: done, Total: total, Unit: "bytes"})
		s, err := k.takeFile(w)
		if err != nil {
			return err
		}
		m.Sources = append(m.Sources, s)
		done += s.Size
	}
	if err := k.settled(list, m); err != nil {
		return err
	}
	return k.publish(ctx, m)
}

func (k *keeper) takeFile(w wanted) (source, error) {
	if w.absent {
		return source{Path: w.name, Kind: w.kind, Absent: true}, nil
	}
	k.reach("copy " + w.name)
	first, rest, _ := cut(w.copy)
	s, err := copyFile(w.path, k.State().Path(first+unfinished, rest))
	if errors.Is(err, errMoved) {
		return s, cidx.Problem{What: "the file changed while it was copied", At: w.path, Fix: "something still writes there; find it (fuser -v " + w.path + ") and run again"}
	}
	s.Path, s.Kind, s.Copy = w.name, w.kind, w.copy
	return s, err
}

// cut splits the first component off a relative path.
func cut(path string) (first, rest string, ok bool) {
	for i := range len(path) {
		if path[i] == filepath.Separator {
			return path[:i], path[i+1:], true
		}
	}
	return path, "", false
}

// settled looks once more at all sources: a database and its log were copied
// one after the other, and have to belong together.
func (k *keeper) settled(list []wanted, m manifest) error {
	var problems cidx.Problems
	for i, w := range list {
		info, err := os.Lstat(w.path)
		there := err == nil
		s := m.Sources[i]
		if there == s.Absent || there && (info.Size() != s.Size || !info.ModTime().Equal(s.Time)) {
			problems = append(problems, cidx.Problem{What: "the file changed while the backup was taken", At: w.path, Fix: "something still writes there; find it (fuser -v " + w.path + ") and run again"})
		}
	}
	return problems.Err()
}

// publish moves an older set aside and puts the new one in its place.
func (k *keeper) publish(ctx context.Context, m manifest) error {
	state := k.State()
	if err := k.setAside(); err != nil {
		return err
	}
	for _, f := range folders {
		k.reach("publish " + f)
		err := os.Rename(state.Path(f+unfinished), state.Path(f))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("publish backup: %w", err)
		}
		if err := syncBelow(state.Path(f)); err != nil {
			return err
		}
	}
	if err := jsonfile.SyncFolder(string(state)); err != nil {
		return err
	}
	k.reach("write the record")
	if err := m.write(state); err != nil {
		return err
	}
	files, bytes := m.present("")
	databases, _ := m.present(kindDatabase)
	aliases, _ := m.present(kindAlias)
	if err := k.note(eventTaken, map[string]any{"files": files, "bytes": bytes}); err != nil {
		return err
	}
	progress.Line(ctx, "  Backup: %d database files, %d alias files (%s) in %s", databases, aliases, cidx.Size(bytes), state)
	k.reply.Data["kept_since"] = m.Time.Local().Format("2006-01-02 15:04:05")
	k.reply.Msg = fmt.Sprintf("%d files (%s) are kept in %s", files, cidx.Size(bytes), state)
	return nil
}

// setAside renames an older set, the record first: from then on there is no
// backup until the new record is written.
func (k *keeper) setAside() error {
	state := k.State()
	stamp := time.Now().UTC().Format("20060102_150405")
	for _, name := range append([]string{"backup.json"}, folders...) {
		path := state.Path(name)
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		k.reach("set " + name + " aside")
		aside := path + "." + stamp
		for n := 2; ; n++ {
			if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
				break
			}
			aside = fmt.Sprintf("%s.%s-%d", path, stamp, n)
		}
		if err := os.Rename(path, aside); err != nil {
			return fmt.Errorf("set the older backup aside: %w", err)
		}
	}
	return jsonfile.SyncFolder(string(state))
}

// syncBelow makes every folder of a tree durable.
func syncBelow(root string) error {
	return filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || !e.IsDir() {
			return err
		}
		return jsonfile.SyncFolder(path)
	})
}
