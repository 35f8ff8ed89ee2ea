package database

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
)

// openWarm takes the copies that a warm load is made from. They stay in the state
// folder, so that what changes later can be told from them.
func (r warmer) openWarm(ctx context.Context) error {
	if err := r.removeWarm(""); err != nil {
		return fmt.Errorf("remove the copies of an earlier warm load: %w", err)
	}
	name := make([]byte, 8)
	if _, err := rand.Read(name); err != nil {
		return err
	}
	dir := r.state.Warm(hex.EncodeToString(name))
	if err := durable.MakeFolder(dir); err != nil {
		return err
	}
	if err := copyInto(ctx, r.runner, dir); err != nil {
		problems := problem.Of(err)
		for i := range problems {
			if strings.HasPrefix(problems[i].At, dir) {
				problems[i].Fix = "free space in the server's state folder (cidx_state_dir)"
			}
		}
		return problems.Err()
	}
	return syncFiles(dir)
}

// syncFiles makes sure that the copies survive whatever the record in PostgreSQL
// does.
func syncFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return durable.SyncFolder(path)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// stampFiles stamps every file below a folder.
func stampFiles(dir string) (map[string]fileStamp, error) {
	stamps := map[string]fileStamp{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 {
			return err // SQLite makes an empty -wal beside a database that it opens
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s := fileStamp{Size: info.Size(), Time: info.ModTime().UnixNano()}
		if sys, ok := info.Sys().(*syscall.Stat_t); ok {
			s.Changed, s.Inode = sys.Ctim.Nano(), sys.Ino
		}
		stamps[rel] = s
		return nil
	})
	return stamps, err
}
