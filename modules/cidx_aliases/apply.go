package aliases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/problem"
)

// apply brings the share to what is expected, one file at a time; each is
// complete or untouched. It reports whether anything was written.
func (s *step) apply(ctx context.Context, p plan) (changed bool, err error) {
	written := 0
	for _, a := range p.aliases {
		if ctx.Err() != nil {
			return changed, fmt.Errorf("rewrite alias files: %w after %d of %d", context.Cause(ctx), written, p.due())
		}
		if err := s.keep(a); err != nil {
			return changed, err
		}
		wrote, err := s.write(a)
		changed = changed || wrote
		if err != nil {
			return changed, err
		}
		if wrote {
			written++
		}
	}
	if !changed {
		return false, nil
	}
	return true, journal.Append(s.state.Journal(), "cidx_aliases", "done", map[string]any{"updated": written, "aliases": len(p.aliases)})
}

// write makes the file on the share what it has to be.
func (s *step) write(a alias) (wrote bool, err error) {
	path := filepath.Join(s.tree.Target, a.rel)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return false, problem.Problem{What: "is not a regular file", At: path, Fix: "move it away and run the same playbook again"}
	}
	if a.due() {
		if err := durable.Write(path, a.expected, a.info); err != nil {
			return false, fmt.Errorf("rewrite alias file: %w", err)
		}
		wrote = true
	}
	retimed, err := keepTime(path, a.info)
	return wrote || retimed, err
}

// keepTime gives path the modification time of the original, to the second:
// some file servers store no more.
func keepTime(path string, original os.FileInfo) (changed bool, err error) {
	now, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("look at alias file: %w", err)
	}
	if now.ModTime().Truncate(time.Second).Equal(original.ModTime().Truncate(time.Second)) {
		return false, nil
	}
	if err := os.Chtimes(path, time.Time{}, original.ModTime()); err != nil {
		return false, fmt.Errorf("keep time of alias file: %w", err)
	}
	return true, nil
}

// keep puts a copy of the original into the state folder, by its path below the
// home, once: cidx_backup may have done so. A later original that differs (the
// server ran again after a rollback) is kept beside it, under its time.
func (s *step) keep(a alias) error {
	below, err := filepath.Rel(s.layout.Home, s.tree.Link)
	if err != nil {
		return fmt.Errorf("place of kept alias files: %w", err)
	}
	path := filepath.Join(s.state.Aliases(), below, a.rel)
	for _, place := range []string{path, path + a.info.ModTime().UTC().Format(".20060102T150405Z")} {
		kept, err := os.ReadFile(place)
		if err == nil && bytes.Equal(kept, a.original) {
			return nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read kept alias file: %w", err)
		}
		if err := durable.MakeFolder(filepath.Dir(place)); err != nil {
			return err
		}
		if err := durable.Write(place, a.original, a.info); err != nil {
			return fmt.Errorf("keep original alias file: %w", err)
		}
		_, err = keepTime(place, a.info)
		return err
	}
	return nil
}
