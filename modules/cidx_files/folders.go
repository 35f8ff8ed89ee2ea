package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// removeFolders follows deletions of whole folders, the deepest first.
func (p *pass) removeFolders(ctx context.Context) error {
	gone := slices.Clone(p.scan.gone)
	err := inParallel(ctx, p.workers, gone, func(_ context.Context, path string) error {
		old := decoded(path, p.scan.manifest.Group(path))
		for i := range old.Entries {
			if old.Entries[i].IsDir() {
				continue
			}
			removed, err := p.target.remove(tree.Join(path, old.Entries[i].Name))
			if err != nil && !errors.Is(err, unix.EISDIR) {
				return fault("remove", p.target.path(path), err)
			}
			if removed {
				p.result.deleted.Add(1)
				p.meter.moved()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return byDepth(gone, true, func(level []string) error {
		return inParallel(ctx, p.workers, level, p.removeFolder)
	})
}

func (p *pass) removeFolder(_ context.Context, path string) error {
	removed, err := p.target.removeDir(path)
	switch {
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR):
		if err := p.evict(path); err != nil {
			return err
		}
	case err != nil:
		return fault("remove folder", p.target.path(path), err)
	case removed:
		p.result.deleted.Add(1)
	}
	return p.scan.manifest.Drop(path)
}

// makeFolders makes the folders that the share does not have, the highest first,
// and finds out in which others it has to look.
func (p *pass) makeFolders(ctx context.Context) error {
	if err := p.stillFolders(ctx); err != nil {
		return err
	}
	var paths []string
	byPath := map[string]*folder{}
	for _, f := range p.scan.folders {
		if f.path == "" {
			f.list = f.unsure() || p.recheck || p.reread
		} else if f.unsure() || p.recheck || p.reread {
			paths = append(paths, f.path)
			byPath[f.path] = f
		}
	}
	return byDepth(paths, false, func(level []string) error {
		return inParallel(ctx, p.workers, level, func(_ context.Context, path string) error {
			p.meter.moved()
			return p.makeFolder(byPath[path])
		})
	})
}

// stillFolders looks at the folders in which this pass is going to work and
// which are believed to be there.
func (p *pass) stillFolders(ctx context.Context) error {
	if p.recheck {
		return nil // all are looked at
	}
	return inParallel(ctx, p.workers, p.scan.folders, func(_ context.Context, f *folder) error {
		if f.unsure() {
			return nil
		}
		e, err := p.target.lstat(f.path)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || err == nil && !e.IsDir() {
			return fmt.Errorf("look at %q: %w", p.target.path(f.path), errReplaced)
		}
		return fault("look at", p.target.path(f.path), err)
	})
}

// makeFolder makes one folder. When everything is compared again, a folder of
// ours that has its attributes still, the mtime among them, has no new entries
// and is not listed.
func (p *pass) makeFolder(f *folder) error {
	if !f.unsure() && !p.recheck {
		c, err := p.target.lstat(f.path)
		if err == nil && c.IsDir() {
			now, err := tree.Decode(f.path, f.state)
			f.list = err != nil || now.Self.Differs(&c, p.target.granularity) != ""
			return nil
		}
	}
	made, err := p.target.mkdir(f.path, f.mode())
	if errors.Is(err, errInTheWay) {
		if err = p.evict(f.path); err == nil {
			made, err = p.target.mkdir(f.path, f.mode())
		}
	}
	f.made, f.list = made, !made
	if err != nil || !made {
		return err
	}
	if !p.recheck && p.copiedBelow(f) {
		return fmt.Errorf("make folder %q: %w", p.target.path(f.path), errReplaced)
	}
	if f.known != nil { // what was recorded of it is gone
		return p.scan.manifest.Put(f.path, f.state, make([]byte, f.entries+1))
	}
	return nil
}

// copiedBelow reports whether a folder in f is recorded as copied: where f had to
// be made, that one is gone, and nothing else would look for it.
func (p *pass) copiedBelow(f *folder) bool {
	now, err := tree.Decode(f.path, f.state)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(now.Entries, func(e tree.Entry) bool {
		if !e.IsDir() {
			return false
		}
		g := p.scan.manifest.Group(tree.Join(f.path, e.Name))
		return g != nil && len(g.Flags) > 0 && g.Flags[0]&tree.Copied != 0
	})
}

// byDepth calls f with the paths of each depth, from the top or from the bottom.
func byDepth(paths []string, bottomUp bool, f func([]string) error) error {
	levels := map[int][]string{}
	for _, path := range paths {
		depth := strings.Count(path, "/")
		levels[depth] = append(levels[depth], path)
	}
	var order []int
	for depth := range levels {
		order = append(order, depth)
	}
	slices.SortFunc(order, func(a, b int) int {
		if bottomUp {
			a, b = b, a
		}
		return cmp.Compare(a, b)
	})
	for _, depth := range order {
		if err := f(levels[depth]); err != nil {
			return err
		}
	}
	return nil
}
