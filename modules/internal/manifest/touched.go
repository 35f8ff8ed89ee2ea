package manifest

import (
	"bytes"
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
	var mu sync.Mutex
	var list []string
	err := m.atOnce(ctx, root, func(fd int, path string, g *Group) error {
		if now, err := tree.Lstat(fd, cmp.Or(path, ".")); err != nil || !now.IsDir() || now.Mtime != tree.Mtime(g.Stats) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, path)
		}
		return nil
	})
	slices.Sort(list)
	return list, err
}

// errDiffers ends the search for a difference.
var errDiffers = errors.New("not as it was copied")

// AsCopied reports whether everything that a manifest keeps was copied, and is
// below root as it was then. adopt changes what is seen as it was changed before
// it was kept. It costs one lstat a folder and one a file, and reads no folder:
// one of the same mtime has the same names.
func (m *Manifest) AsCopied(ctx context.Context, root string, adopt func(*tree.Entry)) (bool, error) {
	err := m.atOnce(ctx, root, func(fd int, path string, g *Group) error {
		if !g.All(Copied, Racy) || !m.same(fd, path, g, adopt) {
			return errDiffers
		}
		return nil
	})
	if errors.Is(err, errDiffers) {
		return false, nil
	}
	return err == nil, err
}

// same reports whether a folder and the files in it are as a group says.
func (m *Manifest) same(root int, path string, g *Group, adopt func(*tree.Entry)) bool {
	now, err := tree.Decode(path, g.Stats)
	if err != nil {
		return false
	}
	// All of it is seen again, but for folders, which have groups of their own.
	if now.Self, err = tree.Lstat(root, cmp.Or(path, ".")); err != nil {
		return false
	}
	adopt(&now.Self)
	for i := range now.Entries {
		e := &now.Entries[i]
		at := tree.Join(path, e.Name)
		if e.IsDir() {
			if !m.has(at) {
				return false
			}
			continue
		}
		if *e, err = tree.Lstat(root, at); err != nil {
			return false
		}
		adopt(e)
	}
	return bytes.Equal(now.Encode(), g.Stats)
}

func (m *Manifest) has(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.index[keyOf(path)]
	return ok
}

// atOnce calls f for every folder of the manifest with an open root, several at
// once and in no order, until one call returns an error. Where root is not there
// f finds nothing below what it is given.
func (m *Manifest) atOnce(ctx context.Context, root string, f func(root int, path string, g *Group) error) error {
	if m.Len() == 0 {
		return nil
	}
	fd, err := tree.OpenRoot(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fd = -1
	case err != nil:
		return err
	default:
		defer unix.Close(fd)
	}
	type kept struct {
		path string
		g    *Group
	}
	queue := make(chan kept, 1<<10)
	all, working := errgroup.WithContext(ctx)
	for range runtime.NumCPU() {
		all.Go(func() error {
			for k := range queue {
				if err := f(fd, k.path, k.g); err != nil {
					return err
				}
			}
			return nil
		})
	}
	all.Go(func() error {
		defer close(queue)
		return m.Each(func(path string, g *Group) error {
			select {
			case queue <- kept{path, g}:
				return nil
			case <-working.Done():
				return working.Err()
			}
		})
	})
	return all.Wait()
}
