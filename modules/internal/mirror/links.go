package mirror

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// links knows which names of a part are the same file. The first name of a
// group, by its path, is copied; the others become links to its copy.
type links struct {
	mu        sync.Mutex
	numbers   map[inode]uint64  // from 1 on
	files     []linkedFile      // by number
	paths     plan              // of the first names
	elsewhere map[uint64]string // by number: the copy in another part
}

// linkedFile is a file that has several names, as far as they were met.
type linkedFile struct {
	first int64 // where its path begins in paths
	here  uint32
	total uint32 // as the file system counts them, wherever they are
}

// meet notes a name and returns the file's number, and whether it was met under
// another name before.
func (l *links) meet(e *tree.Entry, path string) (number uint64, known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := inode{e.Dev, e.Ino}
	number, known = l.numbers[key]
	if !known {
		number = uint64(len(l.files) + 1)
		l.numbers[key] = number
		l.files = append(l.files, linkedFile{total: uint32(e.Nlink)})
	}
	f := &l.files[number-1]
	f.here++
	if known {
		if first, err := l.path(f.first); err != nil || first <= path {
			return number, known, err
		}
	}
	f.first, err = l.paths.Add(path, nil, nil)
	return number, known, l.paths.fault(err)
}

// path reads the path of a first name.
func (l *links) path(place int64) (string, error) {
	path, _, err := l.paths.At(place)
	return path, unread(err)
}

// first is the path of the name that is copied, in another part an absolute one.
func (l *links) first(number uint64) (string, error) {
	if path := l.elsewhere[number]; path != "" {
		return path, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path(l.files[number-1].first)
}

// elsewhere finds, for files that have names in several parts, one that is
// copied already: the path of the copy, by the file.
func (m *Mirror) elsewhere(j *Job) (map[uint64]string, error) {
	l := j.Scan.links
	wanted := map[uint64]bool{}
	for key, number := range l.numbers {
		if f := l.files[number-1]; f.here < f.total {
			wanted[key.ino] = true
		}
	}
	found := map[uint64]string{}
	if len(wanted) == 0 {
		return found, nil
	}
	for _, p := range m.Others {
		if p.Name == j.Part.Name {
			continue
		}
		of, err := m.manifestOf(p)
		if err != nil {
			return nil, err
		}
		err = of.Each(func(path string, g *manifest.Group) error {
			for i, e := range g.Dir(path).Entries {
				if !e.IsRegular() || e.Nlink < 2 || !wanted[e.Ino] || g.Flags[i+1]&manifest.Copied == 0 {
					continue
				}
				file := tree.Join(path, e.Name)
				if now, err := p.Lstat(p.Source + "/" + file); err == nil && tree.SameSource(&e, &now) {
					if number := l.numbers[inode{now.Dev, now.Ino}]; number > 0 {
						found[number] = p.Target + "/" + file
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// manifestOf returns the manifest of a part, under work or not.
func (m *Mirror) manifestOf(p *Part) (*manifest.Manifest, error) {
	for _, j := range m.jobs {
		if j.Part.Name == p.Name {
			return j.manifest, nil
		}
	}
	return manifest.Open(p.Manifest)
}

// linkLate makes the further names of hard-linked files. Where the share does
// not know hard links, or the first name is not what it was, they are copied.
func (p *pass) linkLate(ctx context.Context, t *task) error {
	var linked, again []int
	for _, i := range t.late {
		ok, err := p.link(t, i)
		if err != nil {
			return err
		}
		if ok {
			linked = append(linked, i)
		} else {
			again = append(again, i)
		}
	}
	p.done(t, linked)
	t.copy = again
	return p.copyFiles(ctx, []*task{t})
}

// link makes one further name. ok is false if it has to be copied instead.
func (p *pass) link(t *task, i int) (ok bool, err error) {
	e := &t.now.Entries[i]
	path := tree.Join(t.path, e.Name)
	first, err := p.scan.links.first(t.special[i].linked)
	if err != nil {
		return false, err
	}
	c, err := p.target.LstatFirst(first)
	if err != nil || e.Differs(&c, p.target.Grain) != "" {
		return false, nil // the first name vanished or changed meanwhile
	}
	changed, err := p.target.Link(first, path)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EXDEV),
		errors.Is(err, unix.ENOSYS):
		return false, p.finds.note(manifest.Finding{Kind: HardLink, Path: path})
	case err != nil:
		return false, share.Fault("link", p.target.Path(path), err)
	}
	if changed {
		p.result.Linked.Add(1)
	}
	p.meter.files.Add(1)
	p.meter.Moved()
	return true, nil
}

// makeLinks makes a folder's symbolic links.
func (p *pass) makeLinks(t *task) error {
	for _, i := range t.other {
		e := &t.now.Entries[i]
		path := tree.Join(t.path, e.Name)
		if c, err := p.target.Lstat(path); err != nil || e.Differs(&c, p.target.Grain) != "" {
			if err := p.target.Symlink(path, e); err != nil {
				return err
			}
		}
		p.meter.Moved()
	}
	p.done(t, t.other)
	return nil
}
