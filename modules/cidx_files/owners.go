package files

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// owners are those whom a copy can belong to: an ordinary user's copies are its
// own, in one of its groups; nil: anybody, for root, who serves a server of
// root's only.
type owners struct {
	uid  uint32
	gids []uint32
}

// writers are the owners of what this process writes.
func writers() (*owners, error) {
	if os.Geteuid() == 0 {
		return nil, nil
	}
	groups, err := os.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("look up groups: %w", err)
	}
	o := &owners{uid: uint32(os.Geteuid()), gids: []uint32{uint32(os.Getegid())}}
	for _, g := range groups {
		o.gids = append(o.gids, uint32(g))
	}
	return o, nil
}

// ownAll tells every part whose its copy will be.
func (c *copier) ownAll() error {
	o, err := writers()
	for _, p := range c.parts {
		p.owners = o
	}
	return err
}

// has reports whether a copy can get the owner and group of an entry.
func (o *owners) has(e *tree.Entry) bool {
	return o == nil || e.UID == o.uid && slices.Contains(o.gids, e.GID)
}

// adopt makes an entry of the source what its copy will be: the server's own. It
// is what every comparison works with.
func (o *owners) adopt(e *tree.Entry) {
	if o == nil {
		return
	}
	if e.UID = o.uid; !slices.Contains(o.gids, e.GID) {
		e.GID = o.gids[0]
	}
}

// adoptAll adopts a folder and its entries.
func (o *owners) adoptAll(d *tree.Dir) {
	o.adopt(&d.Self)
	for i := range d.Entries {
		o.adopt(&d.Entries[i])
	}
}

// lstat looks at a path of the source as its copy will be.
func (p *part) lstat(path string) (tree.Entry, error) {
	e, err := tree.Lstat(atCwd, path)
	p.owners.adopt(&e)
	return e, err
}

// original looks at an entry of the source as its copy will be.
func (p *pass) original(path string) (tree.Entry, error) {
	e, err := p.source.Lstat(path)
	p.part.owners.adopt(&e)
	return e, err
}

// owner counts what will belong to another user than at the source, and notes
// what the server's user cannot read.
func (c *census) owner(p *part, dir string, e *tree.Entry) {
	if p.owners == nil {
		return
	}
	own := p.owners.has(e)
	if e.IsRegular() && (!own || e.Mode&0o400 == 0) {
		path := tree.Join(dir, e.Name)
		if err := unix.Access(filepath.Join(p.source, path), unix.R_OK); err != nil {
			c.unreadable = append(c.unreadable, leftOut{Path: path, Why: fmt.Sprintf("mode %04o of %d:%d: %v", e.Perm(), e.UID, e.GID, err)})
			return
		}
	}
	if own {
		return
	}
	if c.others++; len(c.other) < 3 {
		c.other = append(c.other, fmt.Sprintf("%s (%d:%d)", filepath.Join(p.source, dir, e.Name), e.UID, e.GID))
	}
}

// others counts the entries whose copies get another owner.
func (c *copier) others() (n int64) {
	for _, j := range c.jobs {
		if j.scan != nil {
			n += j.scan.census.others
		}
	}
	return n
}

// adopted tells what changes its owner.
func (c *copier) adopted() []string {
	n, examples := c.others(), []string{}
	if n == 0 {
		return nil
	}
	for _, j := range c.jobs {
		if j.scan != nil {
			examples = append(examples, j.scan.census.other...)
		}
	}
	o := c.jobs[0].part.owners
	list := strings.Join(examples[:min(3, len(examples))], ", ")
	others := human.Count(n, "entry belongs to another user or group; its copy belongs", "entries belong to other users or groups; their copies belong")
	return []string{fmt.Sprintf("%s to the server's user (%d:%d): %s", others, o.uid, o.gids[0], list)}
}

// unreadable is the problem of an entry that the server's user cannot read.
func (p *part) unreadable(u leftOut) problem.Problem {
	path := p.source + "/" + u.Path
	fix := "check the disk"
	if p.owners != nil {
		fix = fmt.Sprintf("give it to the server's user: chown -hR %d:%d '%s', or let it be read: setfacl -R -m u:%d:rX '%s'", p.owners.uid, p.owners.gids[0], path, p.owners.uid, path)
	}
	return problem.Problem{What: "unreadable: " + u.Why, At: path, Fix: fix}
}
