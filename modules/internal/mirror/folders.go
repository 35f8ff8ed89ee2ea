package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// frame are the folders of a copy.
type frame struct {
	*finds
	manifest *manifest.Manifest
	workers  int
	recheck  bool // what the manifest says of the copy is not believed
	all      bool // every folder is looked into
}

// remove follows deletions of whole folders, the deepest first.
func (r *frame) remove(ctx context.Context, gone []string) error {
	slots := make(chan struct{}, r.workers)
	remove := func(ctx context.Context, path string) error { return r.removeTree(ctx, path, slots) }
	for _, level := range slices.Backward(levels(gone, func(path string) string { return path })) {
		if err := inParallel(ctx, r.workers, level, remove); err != nil {
			return err
		}
	}
	return nil
}

// removeTree removes a folder after those in it.
func (r *frame) removeTree(ctx context.Context, path string, slots chan struct{}) error {
	g := r.manifest.Group(path)
	if g == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	old := g.Dir(path)
	var others errgroup.Group
	for i := range old.Entries {
		below := tree.Join(path, old.Entries[i].Name)
		remove := func() error { return r.removeFile(below) }
		if old.Entries[i].IsDir() {
			remove = func() error { return r.removeTree(ctx, below, slots) }
		}
		select {
		case slots <- struct{}{}:
			others.Go(func() error { defer func() { <-slots }(); return remove() })
		default: // all are at work: do it here
			if err := remove(); err != nil {
				return errors.Join(err, others.Wait())
			}
		}
	}
	if err := others.Wait(); err != nil {
		return err
	}
	return r.removeFolder(path)
}

func (r *frame) removeFile(path string) error {
	removed, err := r.target.Remove(path)
	if err != nil && !errors.Is(err, unix.EISDIR) {
		return share.Fault("remove", r.target.Path(path), err)
	}
	if removed {
		r.result.Deleted.Add(1)
		r.meter.Moved()
	}
	return nil
}

func (r *frame) removeFolder(path string) error {
	removed, err := r.target.RemoveDir(path)
	switch {
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR):
		if err := r.evict(path); err != nil {
			return err
		}
	case err != nil:
		return share.Fault("remove folder", r.target.Path(path), err)
	case removed:
		r.result.Deleted.Add(1)
	}
	return r.manifest.Drop(path)
}

// make makes those of some folders that the share does not have, the
// highest first, and finds out in which others it has to look. The folders above
// them are made already.
func (r *frame) make(ctx context.Context, folders []*folder) error {
	var unsure []*folder
	var still []*folder
	for _, f := range folders {
		switch {
		case f.path == "":
			f.list = f.unsure || r.all
		case f.unsure || r.all:
			unsure = append(unsure, f)
		default:
			still = append(still, f)
		}
	}
	if err := inParallel(ctx, r.workers, still, r.stillFolder); err != nil {
		return err
	}
	for _, level := range levels(unsure, func(f *folder) string { return f.path }) {
		err := inParallel(ctx, r.workers, level, func(_ context.Context, f *folder) error {
			r.meter.Moved()
			return r.makeFolder(f)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stillFolder looks at a folder in which this pass is going to work and which is
// believed to be there.
func (r *frame) stillFolder(_ context.Context, f *folder) error {
	e, err := r.target.Lstat(f.path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || err == nil && !e.IsDir() {
		return fmt.Errorf("look at %q: %w", r.target.Path(f.path), errReplaced)
	}
	return share.Fault("look at", r.target.Path(f.path), err)
}

// makeFolder makes one folder. When everything is compared again, a folder of
// ours that has its attributes still, the mtime among them, has no new entries
// and is not listed.
func (r *frame) makeFolder(f *folder) error {
	if !f.unsure && !r.recheck {
		c, err := r.target.Lstat(f.path)
		if err == nil && c.IsDir() {
			now, err := tree.Decode(f.path, f.state)
			f.list = err != nil || now.Self.Differs(&c, r.target.Grain) != ""
			return nil
		}
	}
	made, err := r.target.Mkdir(f.path, f.mode())
	if errors.Is(err, destination.ErrInTheWay) {
		if err = r.evict(f.path); err == nil {
			made, err = r.target.Mkdir(f.path, f.mode())
		}
	}
	f.made, f.list = made, !made
	if err != nil || !made {
		return err
	}
	now, err := f.now()
	if err != nil {
		return err
	}
	if !r.recheck && len(r.copiedIn(now)) > 0 {
		return fmt.Errorf("make folder %q: %w", r.target.Path(f.path), errReplaced)
	}
	if !f.had {
		return nil
	}
	// What was recorded of it is gone.
	return r.manifest.Put(f.path, f.state, make([]byte, len(now.Entries)+1))
}

// copiedIn names the folders in a folder that are recorded as copied: where one is
// not on the share any more, nothing else would look for it.
func (r *frame) copiedIn(dir *tree.Dir) (names []string) {
	for i := range dir.Entries {
		if e := &dir.Entries[i]; e.IsDir() && r.manifest.Group(tree.Join(dir.Path, e.Name)).Has(manifest.Copied) {
			names = append(names, e.Name)
		}
	}
	return names
}

// levels groups what lies at paths by their depth, from the top. Neighbours in a
// level lie in different folders where that can be: the kernel lets only one name
// of a folder be made at a time, and on a share that takes a while.
func levels[T any](items []T, path func(T) string) (list [][]T) {
	byDepth := map[int][]T{}
	inFolder, nth := map[string]int{}, make(map[string]int, len(items))
	for _, item := range items {
		depth := strings.Count(path(item), "/")
		byDepth[depth] = append(byDepth[depth], item)
		dir, _ := tree.Parent(path(item))
		nth[path(item)] = inFolder[dir]
		inFolder[dir]++
	}
	for _, level := range byDepth {
		slices.SortStableFunc(level, func(a, b T) int { return cmp.Compare(nth[path(a)], nth[path(b)]) })
	}
	for _, depth := range slices.Sorted(maps.Keys(byDepth)) {
		list = append(list, byDepth[depth])
	}
	return list
}

// intend says, durably and before the first byte, what this pass is going to put
// on the share: after a kill, a power cut or an error the next pass knows it for
// ours. It costs one sync for a pass, whatever it copies.
func (r *frame) intend(todo plan) error {
	for f, err := range todo.folders() {
		if err == nil && f.unsure {
			err = r.clearWay(f.path)
		}
		if err != nil {
			return err
		}
	}
	for f, err := range todo.folders() {
		if err == nil && f.puts {
			err = r.manifest.Intend(f.path, f.state)
		}
		if err != nil {
			return err
		}
	}
	return r.manifest.Sync()
}

// clearWay removes a file of ours that stands where a folder has to be. Once the
// intent says that a folder will be there, nobody knows of the file any more.
func (r *frame) clearWay(path string) error {
	dir, name := tree.Parent(path)
	if path == "" {
		return nil
	}
	old := r.manifest.Group(dir).Dir(dir)
	if i := old.Find(name); i < 0 || old.Entries[i].IsDir() {
		return nil
	}
	if _, err := r.target.Remove(path); err != nil && !errors.Is(err, unix.EISDIR) {
		return share.Fault("remove", r.target.Path(path), err)
	}
	return nil
}
