package mirror

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// Leftovers finds, in a rehearsal, what the real run will move aside: entries of
// others in the folders of the copy on the share. It lists the folders that the
// real run lists, and writes nothing. problems are entries that could not be moved.
func (m *Mirror) Leftovers(ctx context.Context) (problems problem.List, err error) {
	err = m.Run(ctx, func(ctx context.Context) error {
		for _, j := range m.jobs {
			found, err := m.leftovers(ctx, j)
			problems = append(problems, found...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return problems, err
}

func (m *Mirror) leftovers(ctx context.Context, j *Job) (problems problem.List, err error) {
	info, err := os.Lstat(j.Part.Target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || err == nil && j.Scan.Census.Folders == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, share.Fault("look at", j.Part.Target, err)
	}
	if !info.IsDir() {
		return problem.List{destination.NotAFolder(j.Part.Target)}, nil
	}
	t, err := destination.Open(m.Mount, j.Part.Target, 1, false)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var mu sync.Mutex
	err = inStream(ctx, m.Workers, j.Scan.plan.folders(), func(_ context.Context, f *folder) error {
		if !f.unsure && j.trust == trusted {
			return nil
		}
		found, stuck, err := m.leftoversIn(t, j, f)
		mu.Lock()
		defer mu.Unlock()
		if len(found) > 0 {
			j.Part.Found[f.path] = append(j.Part.Found[f.path], found...)
		}
		problems = append(problems, stuck...)
		m.Meter.Moved()
		return err
	})
	return problems, err
}

// leftoversIn looks at one folder. stuck are entries that could not be moved.
func (m *Mirror) leftoversIn(t *destination.Folder, j *Job, f *folder) (found []manifest.Finding, stuck problem.List, err error) {
	have, err := t.Dir.ReadDir(f.path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil, nil // not copied yet; what is in the way is told by the folder above
	}
	if err != nil {
		return nil, nil, share.Fault("read folder", t.Path(f.path), err)
	}
	now, err := f.now()
	if err != nil {
		return nil, nil, err
	}
	old := j.manifest.Group(f.path).Dir(f.path)
	for i := range have.Entries {
		e := &have.Entries[i]
		if !j.Part.strange(f.path, now, old, e) {
			continue
		}
		path := tree.Join(f.path, e.Name)
		found = append(found, manifest.Finding{Kind: Foreign, Path: path, Detail: "will be moved to " + tree.AsideFolder})
		// To move a folder to another one is to write in it.
		writable := func(fd int, name string) error { return unix.Faccessat(fd, name, unix.W_OK, unix.AT_EACCESS) }
		if e.IsDir() && t.Dir.At(path, writable) != nil {
			stuck.Add(immovable(m.Mount, t.Path(path)))
		}
	}
	return found, stuck, nil
}
