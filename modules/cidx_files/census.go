package files

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// census counts what a part holds. Bytes are apparent sizes: blocks that
// snapshots share locally are not shared on a network file system.
type census struct {
	mu           sync.Mutex
	Repositories int            `json:"repositories"`
	Bytes        int64          `json:"bytes"`
	Files        int64          `json:"files"`
	Folders      int64          `json:"folders"`
	Symlinks     int64          `json:"symlinks"`
	Absolute     int64          `json:"symlinks_absolute"`
	Leaving      int64          `json:"symlinks_leaving"` // relative, but out of the part
	Dangling     int64          `json:"symlinks_dangling"`
	HardLinks    int64          `json:"hard_links"` // names beyond the first of a file
	Sparse       int64          `json:"sparse"`
	SQLite       int64          `json:"sqlite"`
	LeftOut      map[string]int `json:"left_out,omitempty"` // by reason
	BadNames     map[string]int `json:"names,omitempty"`    // by kind
	Extended     int64          `json:"extended"`           // with ACLs or extended attributes, which stay behind
	links        problem.List   // links that CIDX follows and the copy does not
	others       int64          // whose owner a copy would not get
	other        []string
	sqlite       []string
	leftOut      []leftOut
	unreadable   []leftOut
	clones       []string // repositories that git made
}

// leftOut is one entry that is not copied.
type leftOut struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type inode struct{ dev, ino uint64 }

func newCensus() *census {
	return &census{LeftOut: map[string]int{}, BadNames: map[string]int{}}
}

// omit notes an entry that is left out.
func (c *census) omit(path, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.LeftOut[why]++
	c.leftOut = append(c.leftOut, leftOut{Path: path, Why: why})
}

// refuse notes an entry that cannot be read.
func (c *census) refuse(path string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unreadable = append(c.unreadable, leftOut{Path: path, Why: err.Error()})
}

// folder counts one folder and its entries.
func (c *census) folder(p *part, d *tree.Dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Folders++
	self := d.Self
	var parent string
	parent, self.Name = tree.Parent(d.Path)
	c.owner(p, parent, &self)
	if p.isRepository(d) {
		c.Repositories++
		if d.Find(".git") >= 0 {
			c.clones = append(c.clones, d.Path)
		}
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		c.name(e.Name)
		if e.IsDir() {
			continue // is visited by itself
		}
		c.owner(p, d.Path, e)
		switch {
		case e.IsSymlink():
			c.symlink(d.Path, e)
			if link := p.followed(d.Path, e); link != nil {
				c.links = append(c.links, *link)
			}
		case e.IsRegular():
			c.file(d.Path, e)
		}
	}
}

// isRepository reports whether d is a repository's own folder: git or CIDX have
// put theirs into it. Snapshots are recognised by their place.
func (p *part) isRepository(d *tree.Dir) bool {
	if d.Path == "" || p.repository(d.Path) != d.Path {
		return false
	}
	_, name := tree.Parent(d.Path)
	if p.name == cidx.Versioned {
		return strings.HasPrefix(name, "v_")
	}
	return d.Find(".git") >= 0 || d.Find(".code-indexer") >= 0
}

func (c *census) file(dir string, e *tree.Entry) {
	c.Files++
	if e.Sparse() {
		c.Sparse++
	}
	if strings.HasSuffix(e.Name, ".db") || strings.HasSuffix(e.Name, ".sqlite") || strings.HasSuffix(e.Name, ".sqlite3") {
		c.SQLite++
		c.sqlite = append(c.sqlite, tree.Join(dir, e.Name))
	}
	c.Bytes += e.Size
}

// further corrects the count for a further name of a file.
func (c *census) further(e *tree.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.HardLinks++
	c.Bytes -= e.Size
}

func (c *census) symlink(dir string, e *tree.Entry) {
	c.Symlinks++
	if strings.HasPrefix(e.Link, "/") {
		c.Absolute++
		return
	}
	depth := 0
	if dir != "" {
		depth = 1 + strings.Count(dir, "/")
	}
	for name := range strings.SplitSeq(e.Link, "/") {
		switch name {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				c.Leaving++
				return
			}
		default:
			depth++
		}
	}
}

func (c *census) name(name string) {
	for _, kind := range nameKinds(name) {
		c.BadNames[kind]++
	}
}

// nameKinds are the kinds of names that file systems refuse, spelt as
// share.Info.BadNames has them.
func nameKinds(name string) []string {
	var kinds []string
	plain := true
	for i := range len(name) {
		if b := name[i]; b < ' ' || b >= utf8.RuneSelf || b == ':' || b == '\\' {
			plain = false
			break
		}
	}
	if plain && len(name) < 250 {
		return nil
	}
	if strings.ContainsRune(name, '\n') {
		kinds = append(kinds, "newline")
	}
	if !utf8.ValidString(name) {
		kinds = append(kinds, "not UTF-8")
	}
	if len(name) >= 250 {
		kinds = append(kinds, "255 bytes")
	}
	if strings.ContainsRune(name, ':') {
		kinds = append(kinds, "colon")
	}
	if strings.ContainsRune(name, '\\') {
		kinds = append(kinds, "backslash")
	}
	return kinds
}

// entries is the number of inodes that a copy takes.
func (c *census) entries() int64 { return c.Files - c.HardLinks + c.Folders + c.Symlinks }

// add sums up parts for the reply.
func (c *census) add(o *census) {
	c.Repositories += o.Repositories
	c.Bytes += o.Bytes
	c.Files += o.Files
	c.Folders += o.Folders
	c.Symlinks += o.Symlinks
	c.Absolute += o.Absolute
	c.Leaving += o.Leaving
	c.Dangling += o.Dangling
	c.HardLinks += o.HardLinks
	c.Sparse += o.Sparse
	c.SQLite += o.SQLite
	c.Extended += o.Extended
	for why, n := range o.LeftOut {
		c.LeftOut[why] += n
	}
	for kind, n := range o.BadNames {
		c.BadNames[kind] += n
	}
	c.leftOut = slices.Concat(c.leftOut, o.leftOut)
	c.unreadable = slices.Concat(c.unreadable, o.unreadable)
}
