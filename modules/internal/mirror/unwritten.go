package mirror

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
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
		for _, j := range m.Jobs {
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

// Proof is what a part's source is to what was copied of it.
type Proof struct {
	Copied     bool       // something was, or there is nothing
	Complete   bool       // the last pass came to its end
	Unreadable []Omission // what cannot be compared
	Changed    []Omission // by path: "new", "changed" or "gone"
}

// Prove compares the source of a part with what was copied of it, as a pass looks
// for work, and writes nothing. Of a folder that came or went as a whole only the
// folder is told. was is the path that the source had when it was copied.
func (m *Mirror) Prove(ctx context.Context, p *Part, was string) (proof Proof, err error) {
	j := &Job{Part: p}
	if j.Record, err = readRecord(p); err != nil {
		return proof, err
	}
	if j.manifest, err = manifest.Open(p.Manifest); err != nil {
		return proof, err
	}
	if j.Record.Source != was || j.Record.Target != p.Target {
		j.manifest = manifest.New()
	}
	dir := m.Scratch
	if _, err := os.Stat(dir); err != nil { // nothing was ever copied
		dir = os.TempDir()
	}
	if j.Scan, err = look(ctx, p, j.manifest, criteria{want: manifest.Copied, dir: dir}); err != nil {
		return proof, err
	}
	defer j.Scan.close()
	empty := j.Scan.Census.Folders == 0
	proof.Copied, proof.Complete = empty || j.manifest.Len() > 0, empty || !j.Record.Open
	if !proof.Copied || !proof.Complete {
		return proof, nil
	}
	proof.Unreadable = j.Scan.Census.Unreadable
	proof.Changed, err = j.changes()
	slices.SortStableFunc(proof.Changed, func(a, b Omission) int { return cmp.Compare(a.Path, b.Path) })
	return proof, err
}

// changes are the entries of the source that differ from what was copied.
func (j *Job) changes() (list []Omission, err error) {
	for f, err := range j.Scan.plan.folders() {
		if err != nil {
			return list, err
		}
		parent, _ := tree.Parent(f.path)
		switch known := j.manifest.Group(f.path); {
		case known != nil:
			list = append(list, f.changes(known)...)
		case f.path == "" || j.manifest.Group(parent) != nil:
			list = append(list, Omission{f.path, "new"})
		}
	}
	gone := map[string]bool{}
	for _, path := range j.Scan.gone { // a folder comes before those in it
		gone[path] = true
		if parent, _ := tree.Parent(path); path == "" || !gone[parent] {
			list = append(list, Omission{path, "gone"})
		}
	}
	return list, nil
}

// changes are the entries of a folder that are not as they were copied; the
// folder itself where none of them tells.
func (f *folder) changes(known *manifest.Group) (list []Omission) {
	add := func(name, why string) { list = append(list, Omission{Path: tree.Join(f.path, name), Why: why}) }
	old := known.Dir(f.path)
	now, err := f.now()
	if err != nil {
		return []Omission{{Path: f.path, Why: "changed"}}
	}
	for i := range now.Entries {
		e := &now.Entries[i]
		k := old.Find(e.Name)
		switch {
		case k < 0 && !e.IsDir():
			add(e.Name, "new")
		case k >= 0 && !(e.IsDir() && old.Entries[k].IsDir()) && (!tree.SameSource(e, &old.Entries[k]) || !known.Settled(k)):
			add(e.Name, "changed")
		}
	}
	for i := range old.Entries {
		if e := &old.Entries[i]; now.Find(e.Name) < 0 && !e.IsDir() {
			add(e.Name, "gone")
		}
	}
	same := func(a, b tree.Entry) bool { return a.Name == b.Name }
	if len(list) == 0 && slices.EqualFunc(old.Entries, now.Entries, same) {
		list = []Omission{{Path: f.path, Why: "changed (mode, owner or time of the folder)"}}
	}
	return list
}
