package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// leftovers finds, in a rehearsal, what the real run will move aside: entries of
// others in the folders of the copy on the share. It lists the folders that the
// real run lists, and writes nothing.
func (c *copier) leftovers(ctx context.Context) (problems problem.List, err error) {
	c.meter = newMeter(ctx, "files", 0, 0)
	defer c.meter.end()
	err = c.watched(ctx, func(ctx context.Context) error {
		for _, j := range c.jobs {
			found, err := c.leftoversOf(ctx, j)
			problems = append(problems, found...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return problems, err
}

func (c *copier) leftoversOf(ctx context.Context, j *job) (problems problem.List, err error) {
	info, err := os.Lstat(j.part.target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || err == nil && j.scan.census.Folders == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fault("look at", j.part.target, err)
	}
	if !info.IsDir() {
		return problem.List{notAFolder(j.part.target)}, nil
	}
	t, err := openTarget(c.share, j.part.target, 1, false)
	if err != nil {
		return nil, err
	}
	defer t.close()
	var mu sync.Mutex
	err = inStream(ctx, c.workers, j.scan.plan.folders(), func(_ context.Context, f *folder) error {
		if !f.unsure && j.trust == trusted {
			return nil
		}
		found, stuck, err := c.leftoversIn(t, j, f)
		mu.Lock()
		defer mu.Unlock()
		if len(found) > 0 {
			j.part.found[f.path] = append(j.part.found[f.path], found...)
		}
		problems = append(problems, stuck...)
		c.meter.moved()
		return err
	})
	return problems, err
}

// leftoversIn looks at one folder. stuck are entries that could not be moved.
func (c *copier) leftoversIn(t *target, j *job, f *folder) (found []finding, stuck problem.List, err error) {
	have, err := t.dir.ReadDir(f.path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil, nil // not copied yet; what is in the way is told by the folder above
	}
	if err != nil {
		return nil, nil, fault("read folder", t.path(f.path), err)
	}
	now, err := f.now()
	if err != nil {
		return nil, nil, err
	}
	old := decoded(f.path, j.manifest.Group(f.path))
	for i := range have.Entries {
		e := &have.Entries[i]
		if !j.part.strange(f.path, now, old, e) {
			continue
		}
		path := tree.Join(f.path, e.Name)
		found = append(found, finding{kind: findForeign, path: path, detail: "will be moved to " + tree.AsideFolder})
		// To move a folder to another one is to write in it.
		if e.IsDir() && t.at(path, func(fd int, name string) error { return unix.Faccessat(fd, name, unix.W_OK, unix.AT_EACCESS) }) != nil {
			stuck.Add(c.immovable(t.path(path)))
		}
	}
	return found, stuck, nil
}
