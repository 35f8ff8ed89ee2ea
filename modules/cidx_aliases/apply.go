package aliases

import (
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
	"cidx-cluster/modules/internal/tree"
)

// apply brings the share to what is expected, one file at a time; each is
// complete or untouched. It reports whether anything was written.
func (s *step) apply(ctx context.Context, p plan) (changed bool, err error) {
	if changed, err = s.moveAside(p); err != nil {
		return changed, err
	}
	written := 0
	for _, a := range p.aliases {
		if ctx.Err() != nil {
			return changed, fmt.Errorf("rewrite alias files: %w after %d of %d", context.Cause(ctx), written, p.due())
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

// moveAside takes stale alias files of the share out of the cluster's sight.
func (s *step) moveAside(p plan) (moved bool, err error) {
	if len(p.stale) == 0 {
		return false, nil
	}
	root, err := tree.Open(s.share)
	if err != nil {
		return false, fmt.Errorf("open share: %w", err)
	}
	defer root.Close()
	aside := tree.NewAside(root, "")
	for _, path := range p.stale {
		below, err := filepath.Rel(s.share, path)
		if err != nil {
			return moved, fmt.Errorf("place of stale alias file: %w", err)
		}
		_, err = aside.Move(root, below)
		if errors.Is(err, fs.ErrPermission) {
			return moved, problem.Problem{
				What: "an alias file of no repository of this server, and may not be moved aside", At: path,
				Fix: tree.Immovable(s.share, path),
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return moved, fmt.Errorf("move aside %q: %w", path, err)
		}
		moved = true
	}
	return moved, nil
}
