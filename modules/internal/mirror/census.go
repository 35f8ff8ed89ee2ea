package mirror

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// Census counts what a part holds. Bytes are apparent sizes: blocks that
// snapshots share locally are not shared on a network file system.
type Census struct {
	Bytes     int64          `json:"bytes"`
	Files     int64          `json:"files"`
	Folders   int64          `json:"folders"`
	Symlinks  int64          `json:"symlinks"`
	Absolute  int64          `json:"symlinks_absolute"`
	Leaving   int64          `json:"symlinks_leaving"` // relative, but out of the part
	Dangling  int64          `json:"symlinks_dangling"`
	HardLinks int64          `json:"hard_links"` // names beyond the first of a file
	Sparse    int64          `json:"sparse"`
	LeftOut   map[string]int `json:"left_out,omitempty"` // by reason
	BadNames  map[string]int `json:"names,omitempty"`    // by kind
	Extended  int64          `json:"extended"`           // with ACLs or extended attributes, which stay behind

	Omitted    []Omission `json:"-"`
	Unreadable []Omission `json:"-"`
	Others     int64      `json:"-"` // whose owner a copy would not get
	Other      []string   `json:"-"` // some of them

	mu sync.Mutex
}

// Omission is one entry that is not copied.
type Omission struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type inode struct{ dev, ino uint64 }

// NewCensus is an empty one.
func NewCensus() *Census {
	return &Census{LeftOut: map[string]int{}, BadNames: map[string]int{}}
}

// omit notes an entry that is left out.
func (c *Census) omit(path, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.LeftOut[why]++
	c.Omitted = append(c.Omitted, Omission{Path: path, Why: why})
}

// refuse notes an entry that cannot be read.
func (c *Census) refuse(path string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Unreadable = append(c.Unreadable, Omission{Path: path, Why: err.Error()})
}

// folder counts one folder and its entries.
func (c *Census) folder(p *Part, d *tree.Dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Folders++
	self := d.Self
	var parent string
	parent, self.Name = tree.Parent(d.Path)
	c.owner(p, parent, &self)
	for i := range d.Entries {
		e := &d.Entries[i]
		for _, kind := range share.NameKinds(e.Name) {
			c.BadNames[kind]++
		}
		if e.IsDir() {
			continue // is visited by itself
		}
		c.owner(p, d.Path, e)
		switch {
		case e.IsSymlink():
			c.Symlinks++
			if strings.HasPrefix(e.Link, "/") {
				c.Absolute++
			} else if leaves(d.Path, e.Link) {
				c.Leaving++
			}
		case e.IsRegular():
			c.Files++
			c.Bytes += e.Size
			if e.Sparse() {
				c.Sparse++
			}
		}
	}
}

// owner counts what will belong to another user than at the source, and notes
// what the server's user cannot read.
func (c *Census) owner(p *Part, dir string, e *tree.Entry) {
	if p.Owners == nil {
		return
	}
	own := p.Owners.has(e)
	if e.IsRegular() && (!own || e.Mode&0o400 == 0) {
		path := tree.Join(dir, e.Name)
		if err := unix.Access(filepath.Join(p.Source, path), unix.R_OK); err != nil {
			why := fmt.Sprintf("mode %04o of %d:%d: %v", e.Perm(), e.UID, e.GID, err)
			c.Unreadable = append(c.Unreadable, Omission{Path: path, Why: why})
			return
		}
	}
	if own {
		return
	}
	if c.Others++; len(c.Other) < 3 {
		c.Other = append(c.Other, fmt.Sprintf("%s (%d:%d)", filepath.Join(p.Source, dir, e.Name), e.UID, e.GID))
	}
}

// further corrects the count for a further name of a file.
func (c *Census) further(e *tree.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.HardLinks++
	c.Bytes -= e.Size
}

// leaves reports whether a relative link in dir leads out of the part.
func leaves(dir, link string) bool {
	to := filepath.Join(dir, link)
	return to == ".." || strings.HasPrefix(to, "../")
}

// Entries is the number of inodes that a copy takes.
func (c *Census) Entries() int64 { return c.Files - c.HardLinks + c.Folders + c.Symlinks }

// Add sums up parts.
func (c *Census) Add(o *Census) {
	c.Bytes += o.Bytes
	c.Files += o.Files
	c.Folders += o.Folders
	c.Symlinks += o.Symlinks
	c.Absolute += o.Absolute
	c.Leaving += o.Leaving
	c.Dangling += o.Dangling
	c.HardLinks += o.HardLinks
	c.Sparse += o.Sparse
	c.Extended += o.Extended
	for why, n := range o.LeftOut {
		c.LeftOut[why] += n
	}
	for kind, n := range o.BadNames {
		c.BadNames[kind] += n
	}
}
