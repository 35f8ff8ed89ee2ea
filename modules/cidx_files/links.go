package files

import (
	"context"
	"errors"
	"path/filepath"
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
	for key, names := range s.links {
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
	c, err := tree.Lstat(p.target.fd, first)
	if err != nil || e.Differs(&c, p.target.granularity) != "" {
		return false, nil // the first name vanished or changed meanwhile
	}
	changed, err := p.target.link(first, path)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EMLINK), errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOSYS):
		p.result.warn("the share keeps no hard links: the names of " + filepath.Join(p.part.source, first) + " and others become files of their own")
		return false, nil
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
