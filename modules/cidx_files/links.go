package files

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// links knows which names of a part are the same file. The first name of a
// group is copied; the others become links to its copy.
type links struct {
	firstOf map[name]string // every further name -> path of the first; absolute if in another part
}

// newLinks groups the names of a scan. Names in other parts that are copied
// already serve as first ones: elsewhere maps a file to the path of its copy.
func newLinks(s *scan, elsewhere map[inode]string) *links {
	l := &links{firstOf: map[name]string{}}
	for key, all := range s.links {
		names := all.here
		slices.SortFunc(names, func(a, b name) int {
			return strings.Compare(tree.Join(a.dir, a.name), tree.Join(b.dir, b.name))
		})
		first, rest := elsewhere[key], names
		if first == "" {
			first, rest = tree.Join(names[0].dir, names[0].name), names[1:]
		}
		for _, n := range rest {
			l.firstOf[n] = first
		}
	}
	return l
}

// elsewhere finds, for files that have names in several parts, one that is
// copied already: the path of the copy, by the file.
func (c *copier) elsewhere(j *job) (map[inode]string, error) {
	wanted := map[uint64]bool{}
	for key, all := range j.scan.links {
		if uint64(len(all.here)) < all.total {
			wanted[key.ino] = true
		}
	}
	found := map[inode]string{}
	if len(wanted) == 0 {
		return found, nil
	}
	for _, p := range partsOf(c.layout, nil) {
		if p.name == j.part.name {
			continue
		}
		m, err := c.manifestOf(p)
		if err != nil {
			return nil, err
		}
		m.Each(func(path string, g *tree.Group) bool {
			for i, e := range decoded(path, g).Entries {
				if !e.IsRegular() || e.Nlink < 2 || !wanted[e.Ino] || g.Flags[i+1]&tree.Copied == 0 {
					continue
				}
				file := tree.Join(path, e.Name)
				if now, err := p.lstat(p.source + "/" + file); err == nil && tree.SameSource(&e, &now) {
					found[inode{now.Dev, now.Ino}] = p.target + "/" + file
				}
			}
			return true
		})
	}
	return found, nil
}

// manifestOf returns the manifest of a part, under work or not.
func (c *copier) manifestOf(p *part) (*tree.Manifest, error) {
	for _, j := range c.jobs {
		if j.part.name == p.name {
			return j.manifest, nil
		}
	}
	return tree.OpenManifest(c.args.State().Manifest(p.name))
}

// first reports whether a name is one of several of a file in this part, and
// whether it is the one to copy.
func (l *links) first(dir, file string) (first, linked bool) {
	_, further := l.firstOf[name{dir, file}]
	return !further, further
}

// linkLate makes the further names of hard-linked files. Where the share does
// not know hard links, or the first name is not what it was, they are copied.
func (p *pass) linkLate(ctx context.Context, late []*task) error {
	return inParallel(ctx, p.workers, late, func(ctx context.Context, t *task) error {
		var linked, again []int
		for _, i := range t.late {
			e := &t.now.Entries[i]
			ok, err := p.link(t.path, e)
			if err != nil {
				return err
			}
			if ok {
				linked = append(linked, i)
			} else {
				again = append(again, i)
			}
		}
		p.done(t, linked, 0)
		t.copy = again
		return p.copyFiles(ctx, []*task{t})
	})
}

// link makes one further name. ok is false if it has to be copied instead.
func (p *pass) link(dir string, e *tree.Entry) (ok bool, err error) {
	path := tree.Join(dir, e.Name)
	first := p.links.firstOf[name{dir, e.Name}]
	c, err := p.target.lstatFirst(first)
	if err != nil || e.Differs(&c, p.target.granularity) != "" {
		return false, nil // the first name vanished or changed meanwhile
	}
	changed, err := p.target.link(first, path)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOSYS):
		return false, p.lostLink(path)
	case err != nil:
		return false, fault("link", p.target.path(path), err)
	}
	if changed {
		p.result.linked.Add(1)
	}
	p.meter.files.Add(1)
	p.meter.moved()
	return true, nil
}

// makeLinks makes a folder's symbolic links.
func (p *pass) makeLinks(t *task) error {
	for _, i := range t.other {
		e := &t.now.Entries[i]
		path := tree.Join(t.path, e.Name)
		if c, err := p.target.lstat(path); err != nil || e.Differs(&c, p.target.granularity) != "" {
			if err := p.target.symlink(path, e); err != nil {
				return err
			}
		}
		p.meter.moved()
	}
	p.done(t, t.other, 0)
	return nil
}
