package manifest

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"sync"

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
	var mu sync.Mutex
	var list []string
	all, working := errgroup.WithContext(ctx)
	all.SetLimit(runtime.NumCPU())
	err = m.Each(func(path string, g *Group) error {
		all.Go(func() error {
			now, err := tree.Lstat(fd, cmp.Or(path, "."))
			if err != nil || !now.IsDir() || now.Mtime != tree.Mtime(g.Stats) {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, path)
			}
			return nil
		})
		return working.Err()
	})
	err = errors.Join(all.Wait(), err)
	slices.Sort(list)
	return list, err
}
