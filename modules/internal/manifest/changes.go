package manifest

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// What a Change can be.
const (
	Added    = "new"
	Changed  = "changed"
	Gone     = "gone"
	Attached = "changed (mode, owner or time of the folder)"
	Uncopied = "not copied"
)

// Change is an entry of the source that is not as it was copied.
type Change struct {
	Path string // below the root
	What string
}

// Changes lists, by path, what is not below root as it was copied. It looks at
// every folder and file of the manifest, with one lstat each, and reads only
// folders whose own times are others: a new name shows in its folder's. Of a
// folder that came or went as a whole only the folder is listed. The root's own
// ctime does not count: it changes when the whole tree is renamed. adopt gives an
// entry the owner that its copy has.
func (m *Manifest) Changes(ctx context.Context, root string, adopt func(*tree.Entry)) ([]Change, error) {
	fd, err := tree.OpenRoot(root)
	switch {
	case errors.Is(err, fs.ErrNotExist) && m.Len() == 0:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return []Change{{"", Gone}}, nil
	case err != nil:
		return nil, err
	}
	defer unix.Close(fd)
	if m.Len() == 0 {
		return []Change{{"", Uncopied}}, nil
	}
	list, err := m.changes(ctx, source{fd, adopt})
	return outermost(list), err
}

// source is a tree whose entries are looked at as their copies are to be.
type source struct {
	root  int
	adopt func(*tree.Entry)
}

func (s source) lstat(path string) (tree.Entry, error) {
	e, err := tree.Lstat(s.root, path)
	s.adopt(&e)
	return e, err
}

func (m *Manifest) changes(ctx context.Context, s source) (list []Change, err error) {
	var mu sync.Mutex
	all, working := errgroup.WithContext(ctx)
	all.SetLimit(runtime.NumCPU())
	err = m.Each(func(path string, g *Group) error {
		all.Go(func() error {
			changes, err := s.changes(path, g)
			mu.Lock()
			defer mu.Unlock()
			list = append(list, changes...)
			return err
		})
		return working.Err()
	})
	return list, cmp.Or(all.Wait(), err)
}

// outermost sorts changes and leaves out what lies in a folder that is gone.
func outermost(changes []Change) []Change {
	gone := map[string]bool{} // or something else than a folder now
	for _, c := range changes {
		gone[c.Path] = gone[c.Path] || c.What == Gone || c.What == Changed
	}
	changes = slices.DeleteFunc(changes, func(c Change) bool {
		for path := c.Path; path != ""; {
			if path, _ = tree.Parent(path); gone[path] {
				return true
			}
		}
		return false
	})
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes
}

// changes compares one folder with its group.
func (s source) changes(path string, g *Group) (list []Change, err error) {
	old, err := tree.Decode(path, g.Stats)
	if err != nil || len(g.Flags) != len(old.Entries)+1 {
		return []Change{{path, Uncopied}}, nil
	}
	now, err := s.lstat(cmp.Or(path, "."))
	switch {
	case tree.Vanished(err):
		return []Change{{path, Gone}}, nil
	case err != nil:
		return nil, err
	case !now.IsDir():
		return []Change{{path, Changed}}, nil
	}
	for i := range old.Entries {
		e := &old.Entries[i]
		if e.IsDir() { // it has a group of its own
			continue
		}
		inner := tree.Join(path, e.Name)
		switch now, err := s.lstat(inner); {
		case tree.Vanished(err):
			list = append(list, Change{inner, Gone})
		case err != nil:
			return nil, err
		case !tree.SameSource(&now, e):
			list = append(list, Change{inner, Changed})
		case !g.Settled(i):
			list = append(list, Change{inner, Uncopied})
		}
	}
	if old.Self.Differs(&now, 1) == "" && (path == "" || now.Ctime == old.Self.Ctime) {
		return list, nil
	}
	return s.added(old, list)
}

// added completes the changes of a folder that has other names than it had, or
// other attributes.
func (s source) added(old *tree.Dir, list []Change) ([]Change, error) {
	now, err := tree.ReadDir(s.root, old.Path, tree.Options{})
	if tree.Vanished(err) {
		return []Change{{old.Path, Gone}}, nil
	}
	if err != nil {
		return nil, err
	}
	told := len(list) > 0
	for i := range now.Entries {
		e := &now.Entries[i]
		// What the copy leaves out has no entry either, and is older than the look.
		if old.Find(e.Name) < 0 && e.Ctime > max(old.Self.Mtime, old.Self.Ctime) {
			list, told = append(list, Change{tree.Join(old.Path, e.Name), Added}), true
		}
	}
	for i := range old.Entries {
		k := now.Find(old.Entries[i].Name)
		told = told || k < 0 || now.Entries[k].Type() != old.Entries[i].Type()
	}
	if !told {
		list = append(list, Change{old.Path, Attached})
	}
	return list, nil
}
