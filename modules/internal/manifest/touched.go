package manifest

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// Touched lists, sorted, the folders of a manifest that are not below root as
// they were copied: gone, another kind of file, or of another mtime, as a folder
// is in which a name was made, renamed or removed. What was written into a file
// in place does not show. It costs one lstat a folder, and reads no folder.
// Where root is not there every folder is touched.
func (m *Manifest) Touched(ctx context.Context, root string) ([]string, error) {
	fd, err := tree.OpenRoot(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if fd >= 0 {
		defer unix.Close(fd)
	}
	type kept struct {
		path  string
		mtime int64
	}
	queue := make(chan kept, 1<<10)
	lists := make([][]string, runtime.NumCPU())
	all, working := errgroup.WithContext(ctx)
	for i := range lists {
		all.Go(func() error {
			for k := range queue {
				if now, err := tree.Lstat(fd, cmp.Or(k.path, ".")); err != nil || !now.IsDir() || now.Mtime != k.mtime {
					lists[i] = append(lists[i], k.path)
				}
			}
			return nil
		})
	}
	all.Go(func() error {
		defer close(queue)
		return m.Each(func(path string, g *Group) error {
			select {
			case queue <- kept{path, tree.Mtime(g.Stats)}:
				return nil
			case <-working.Done():
				return working.Err()
			}
		})
	})
	err = all.Wait()
	return slices.Sorted(slices.Values(slices.Concat(lists...))), err
}
