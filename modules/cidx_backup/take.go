package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cidx-cluster/modules/internal/beneath"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/problem"
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
		if !w.absent && w.Kind != kept.Config {
			files, bytes = files+1, bytes+w.size
		}
	}
	k.reply.Changed = true
	k.reply.Data["files"], k.reply.Data["bytes"] = files, bytes
	if k.check {
		k.reply.Msg = fmt.Sprintf("%s (%s) would be kept in %s", human.Count(files, "file", "files"), human.Bytes(bytes), k.State())
		return nil
	}
	if err := k.nobodyWrites(); err != nil {
		return err
	}
	return k.takeNew(ctx, list, bytes)
}

// usable answers with the set of an earlier run if it still stands for the
// standalone server. After a completed cut-over it does, whatever the sources
// look like: a cluster start writes into the SQLite files. Before, and after a
// rollback, the sources must be unchanged: else the standalone server has run.
func (k *keeper) usable(standing home.Standing) (kept.Record, bool, error) {
	m, ok, err := kept.Read(k.places)
	if err != nil || !ok {
		return m, false, err
	}
	broken, err := k.places.Copies(m.Sources)
	if err != nil {
		return m, false, err
	}
	if standing.Cutover == home.ToCluster {
		return m, len(broken) == 0, broken.Err()
	}
	if len(broken) > 0 {
		return m, false, nil
	}
	differences, err := m.Compare(k.places)
	if err != nil {
		return m, false, err
	}
	fresh := m
	fresh.Sources = slices.Clone(m.Sources)
	for _, d := range differences {
		if d.Of.Kind != kept.Config {
			return m, false, nil
		}
		// A rollback, or the cut-over of a run that was stopped in it, has written it.
		i := slices.IndexFunc(fresh.Sources, func(s kept.Source) bool { return s.Kind == kept.Config })
		if fresh.Sources[i], err = k.places.DescribeConfig(); err != nil {
			return m, false, err
		}
	}
	if len(differences) > 0 && !k.check {
		err = fresh.Write(k.State())
	}
	return fresh, true, err
}

func (k *keeper) keepOld(ctx context.Context, m kept.Record) error {
	files, bytes := m.Present("")
	since := m.Time.Local().Format("2006-01-02 15:04:05")
	k.reply.Data["files"], k.reply.Data["bytes"], k.reply.Data["kept_since"] = files, bytes, since
	k.reply.Msg = "the backup of " + since + " stands"
	if !k.check {
		progress.Line(ctx, "  Backup: kept from %s (sources unchanged)", since)
	}
	return nil
}

// nobodyWrites refuses to copy databases that somebody has open.
func (k *keeper) nobodyWrites() error {
	return service.DatabasesRest(k.Home, "stop the server first (cluster-migrate.yml does)")
}

// takeNew copies into unfinished folders, renames them into place and writes
// the manifest last.
func (k *keeper) takeNew(ctx context.Context, list []wanted, total int64) error {
	state := k.State()
	if err := durable.MakeFolder(string(state)); err != nil {
		return err
	}
	folder, err := k.places.State()
	if err != nil {
		return err
	}
	for _, f := range folders {
		err := folder.In(f+unfinished, func(dir *os.Root, name string) error { return dir.RemoveAll(name) })
		if err != nil {
			return fmt.Errorf("remove unfinished backup: %w", err)
		}
	}
	m := kept.Record{Time: time.Now().UTC(), Home: k.Home}
	done := int64(0)
	for _, w := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		progress.Report(ctx, progress.Status{What: "backup " + w.Path, Done: done, Total: total, Unit: "bytes"})
		s, err := k.takeFile(w, folder)
		if err != nil {
			return err
		}
		m.Sources = append(m.Sources, s)
		done += s.Size
	}
	if err := k.settled(list, m); err != nil {
		return err
	}
	return k.publish(ctx, m, folder)
}

func (k *keeper) takeFile(w wanted, state *beneath.Folder) (kept.Source, error) {
	if w.Kind == kept.Config {
		return k.places.DescribeConfig()
	}
	if w.absent {
		return kept.Source{Path: w.Path, Kind: w.Kind, Absent: true}, nil
	}
	k.reach("copy " + w.Path)
	first, rest, _ := strings.Cut(w.CopyOf(), string(filepath.Separator))
	s, err := copyFile(w.at, spot{state, filepath.Join(first+unfinished, rest)})
	if errors.Is(err, errMoved) {
		return s, problem.Problem{What: "the file changed while it was copied", At: w.at.String(),
			Fix: "something still writes there; find it (fuser -v " + w.at.String() + ") and run again"}
	}
	s.Path, s.Kind, s.Copy = w.Path, w.Kind, w.CopyOf()
	return s, err
}

// settled looks once more at all sources: a database and its log were copied
// one after the other, and have to belong together.
func (k *keeper) settled(list []wanted, m kept.Record) error {
	var problems problem.List
	for i, w := range list {
		if w.Kind == kept.Config {
			continue
		}
		info, err := w.at.dir.Lstat(w.at.rel)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look at %s again: %w", w.at, err)
		}
		there := err == nil
		s := m.Sources[i]
		if there == s.Absent || there && (info.Size() != s.Size || !info.ModTime().Equal(s.Time)) {
			problems = append(problems, problem.Problem{What: "the file changed while the backup was taken", At: w.at.String(),
				Fix: "something still writes there; find it (fuser -v " + w.at.String() + ") and run again"})
		}
	}
	return problems.Err()
}

// publish moves an older set aside and puts the new one in its place.
func (k *keeper) publish(ctx context.Context, m kept.Record, folder *beneath.Folder) error {
	state := k.State()
	if err := k.setAside(folder); err != nil {
		return err
	}
	for _, f := range folders {
		k.reach("publish " + f)
		err := folder.In(f, func(dir *os.Root, name string) error { return dir.Rename(name+unfinished, name) })
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("publish backup: %w", err)
		}
		if err := syncBelow(state.Path(f)); err != nil {
			return err
		}
	}
	if err := folder.Sync("backup.json"); err != nil {
		return err
	}
	k.reach("write the record")
	if err := m.Write(state); err != nil {
		return err
	}
	files, bytes := m.Present("")
	databases, _ := m.Present(kept.Database)
	aliases, _ := m.Present(kept.Alias)
	if err := k.note(eventTaken, map[string]any{"files": files, "bytes": bytes}); err != nil {
		return err
	}
	progress.Line(ctx, "  Backup: %s, %s (%s) in %s", human.Count(databases, "database file", "database files"),
		human.Count(aliases, "alias file", "alias files"), human.Bytes(bytes), state)
	k.reply.Data["kept_since"] = m.Time.Local().Format("2006-01-02 15:04:05")
	k.reply.Msg = fmt.Sprintf("%s (%s) kept in %s", human.Count(files, "file", "files"), human.Bytes(bytes), state)
	return nil
}

// setAside renames an older set, the record first: from then on there is no
// backup until the new record is written.
func (k *keeper) setAside(folder *beneath.Folder) error {
	stamp := time.Now().UTC().Format("20060102_150405")
	for _, name := range append([]string{"backup.json"}, folders...) {
		if _, err := folder.Lstat(name); errors.Is(err, os.ErrNotExist) {
			continue
		}
		k.reach("set " + name + " aside")
		aside := name + "." + stamp
		for n := 2; ; n++ {
			if _, err := folder.Lstat(aside); errors.Is(err, os.ErrNotExist) {
				break
			}
			aside = fmt.Sprintf("%s.%s-%d", name, stamp, n)
		}
		err := folder.In(name, func(dir *os.Root, name string) error { return dir.Rename(name, aside) })
		if err != nil {
			return fmt.Errorf("set the older backup aside: %w", err)
		}
	}
	return folder.Sync("backup.json")
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
		return durable.SyncFolder(path)
	})
}
