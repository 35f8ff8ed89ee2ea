package files

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
	"cidx-cluster/modules/internal/writer"
)

// owners are those as whose an entry can be copied; nil: anybody's, by root.
type owners struct {
	uid  uint32
	gids []uint32
	name string // the service user, where root is squashed; "" for an ordinary user
}

// chooseWriter finds out as whom the share is written, and ends a real run with
// the wish to become that user.
func (c *copier) chooseWriter(ctx context.Context) error {
	if c.as == "" {
		as, err := writer.Choose(c.args.State(), c.info, func() (share.Info, error) {
			if c.check {
				return share.Info{}, nil
			}
			return share.Probe(ctx, c.share, share.Deadline, append(c.probes(), share.Writing())...)
		})
		if err != nil {
			return err
		}
		if err := c.become(as); err != nil {
			return err
		}
	}
	o, err := c.owners()
	if err != nil {
		return err
	}
	for _, p := range c.parts {
		p.owners = o
	}
	return nil
}

// become asks to be run as another user; a rehearsal only looks whether that
// would do.
func (c *copier) become(as string) error {
	if as == "" {
		return nil
	}
	c.as = as
	if c.check {
		return nil
	}
	u, err := reach.Lookup(as)
	if err != nil {
		return err
	}
	if err := writer.HandOver(c.args.State(), u); err != nil {
		return err
	}
	return ansible.Become{User: u}
}

// owners answers whose entries can be copied.
func (c *copier) owners() (*owners, error) {
	switch {
	case c.as != "":
		// Strictly: which further groups a file server knows of is not known here.
		u, err := reach.Lookup(c.as)
		return &owners{uid: uint32(u.UID), gids: []uint32{uint32(u.GID)}, name: u.String()}, err
	case os.Geteuid() == 0:
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

// has reports whether a copy can get the owner and group of an entry.
func (o *owners) has(e *tree.Entry) bool {
	return o == nil || e.UID == o.uid && slices.Contains(o.gids, e.GID)
}

// alien is the problem of entries whose owner would change.
func (p *part) alien(n int64, examples []string) cidx.Problem {
	list := strings.Join(examples, ", ")
	if n > int64(len(examples)) {
		list += ", …"
	}
	if p.owners.name == "" {
		return cidx.Problem{
			What: fmt.Sprintf("%d entries belong to other users or groups: %s", n, list), At: p.source,
			Fix: "run as root (become: true), which alone can keep owners",
		}
	}
	return cidx.Problem{
		What: fmt.Sprintf("root may not write on the share (root_squash), and %d entries would change their owner if %s wrote them: %s", n, p.owners.name, list), At: p.source,
		Fix: fmt.Sprintf("export the share with no_root_squash for this node until the migration is done; or, if that is right for the server, give them to its user: chown -hR %d:%d %s", p.owners.uid, p.owners.gids[0], p.source),
	}
}
