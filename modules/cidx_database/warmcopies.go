package database

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
)

// openWarm takes the copies that a warm load is made from. They stay in the state
// folder, so that what changes later can be told from them.
func (r warmer) openWarm(ctx context.Context) error {
	if err := r.removeWarm(); err != nil {
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
	problems := problem.Of(copyInto(ctx, r.runner, dir))
	for i := range problems {
		if strings.HasPrefix(problems[i].At, dir) {
			problems[i].Fix = "free space in the server's state folder (cidx_state_dir)"
		}
	}
	return problems.Err()
}

// stampFiles stamps every file below a folder. They are on the disk then, so that
// they survive whatever a record of the stamps does.
func stampFiles(dir string) (map[string]stamp, error) {
	stamps := map[string]stamp{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
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
		if s := stampOf(path); s != (stamp{}) {
			stamps[strings.TrimPrefix(path, dir)] = s
		}
		return errors.Join(f.Sync(), f.Close())
	})
	return stamps, err
}
