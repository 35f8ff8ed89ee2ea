package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/beneath"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/problem"
)

// setVersionAside copies the present version of a file to folder, below the
// state folder. What an interrupted run has set aside is the cluster's; what
// lies there now may be half restored. A file that is gone has no version: the
// cluster's clean stop folds a -wal into its database.
func (k *keeper) setVersionAside(d kept.Difference, folder string) error {
	if d.What == kept.Missing {
		return nil
	}
	state, err := k.places.State()
	if err != nil {
		return err
	}
	rel := d.Of.Path
	if filepath.IsAbs(rel) {
		rel = filepath.Join("outside", rel)
	}
	to := filepath.Join(folder, rel)
	_, err = state.Lstat(to)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	part := to + unfinished
	if err := removeFile(state, part); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	if _, err := copyFile(k.spot(d.File()), spot{state, part}); err != nil {
		return fmt.Errorf("set %s aside: %w", d.Path, err)
	}
	if err := state.In(part, func(dir *os.Root, name string) error { return dir.Rename(name, filepath.Base(to)) }); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	return state.Sync(to)
}

// restoreFile puts the original back with its owner, mode and time, or removes
// what was not there. A database's -shm is only an index of its -wal; it goes.
func (k *keeper) restoreFile(d kept.Difference) error {
	at := k.spot(d.File())
	if d.Of.Kind == kept.Database {
		base := strings.TrimSuffix(strings.TrimSuffix(at.rel, "-wal"), "-journal")
		if err := removeFile(at.dir, base+"-shm"); err != nil {
			return err
		}
	}
	if d.Of.Absent {
		if err := removeFile(at.dir, at.rel); err != nil {
			return err
		}
		return at.dir.Sync(at.rel)
	}
	if err := k.putBack(d.Of, at); err != nil {
		return problem.Problem{What: "restore: " + err.Error(), At: at.String(),
			Fix: "make the file and its folder writable for the user that runs this (lsattr shows attributes that forbid it), " +
				"then run cluster-rollback.yml again"}
	}
	return at.dir.Sync(at.rel)
}

func (k *keeper) putBack(of kept.Source, at spot) error {
	state, err := k.places.State()
	if err != nil {
		return err
	}
	temp := at.rel + ".cidx-cluster.tmp"
	if err := removeFile(at.dir, temp); err != nil {
		return err
	}
	if _, err := copyFile(spot{state, of.Copy}, spot{at.dir, temp}); err != nil {
		return err
	}
	return at.dir.In(temp, func(dir *os.Root, name string) error {
		if os.Geteuid() == 0 {
			if err := dir.Lchown(name, of.UID, of.GID); err != nil {
				return err
			}
		}
		if err := dir.Chmod(name, fs.FileMode(of.Mode).Perm()); err != nil {
			return err
		}
		if err := dir.Chtimes(name, of.Time, of.Time); err != nil {
			return err
		}
		return dir.Rename(name, filepath.Base(at.rel))
	})
}

func removeFile(dir *beneath.Folder, rel string) error {
	err := dir.In(rel, func(dir *os.Root, name string) error { return dir.Remove(name) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", dir.Path(rel), err)
	}
	return nil
}
