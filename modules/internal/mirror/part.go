// Package mirror makes a tree on a share what a local tree is, with rsync, and
// keeps it so. It knows trees, manifests, rsync and a destination; whose tree it is,
// and what of it is not copied, the owner's Rules say.
//
// A look scans the source and compares it with the manifest; what it finds to do is
// a plan, which lies in a file. A pass applies the plan, some folders at a time,
// decides for each of them what it needs, and compares what was copied. So memory
// holds the folders in work, not the tree.
//
// It promises:
//   - The source is only read.
//   - What is copied is remembered in a manifest; a later pass looks for changes
//     on the local disk only and gives rsync nothing but those.
//   - On the share it removes only what an earlier pass of its own has put there
//     and the source no longer has. What others have put into its folders is told
//     and moved aside, never deleted.
//   - A pass that is killed leaves nothing that a later one takes for complete.
//   - A second pass without changes writes nothing.
package mirror

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/destination"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// Part is a tree that is copied as one.
type Part struct {
	Name     string
	Source   string
	Target   string // below the share
	Inside   bool   // it lies in another part, whose top folder keeps its time; it need not be there
	Manifest string // the file; other records of the part lie beside it
	Rules    Rules
	Owners   *Owners
	Found    manifest.Findings // by the last look; nil before the first
}

// Rules are what the owner of a tree knows of it. They are asked from several
// goroutines.
type Rules interface {
	// LeaveOut says why an entry is not copied, "" if it is.
	LeaveOut(dir string, e *tree.Entry) string
	// Apart reports whether an entry below root, the source or the target, gets its
	// copy from somebody else: then it is recorded, so that a late change shows,
	// and neither copied nor taken away.
	Apart(root, dir string, e *tree.Entry) bool
	// Find says what there is to tell of an entry.
	Find(source *tree.Root, dir string, e *tree.Entry) []manifest.Finding
	// Look begins a look at the tree.
	Look() Observer
}

// Observer sees what a look sees.
type Observer interface {
	// Folder is called for every folder.
	Folder(d *tree.Dir)
	// Work is called for a folder with work: as it is, and as it was copied. done
	// reports whether nothing is left to do for an entry of old.
	Work(now, old *tree.Dir, done func(entry int) bool)
	// Touched reports whether there was work in what a name of Job.Checked stands for.
	Touched(name string) bool
}

// Own is LeaveOut's answer for what is a part of its own, or ours: nothing to tell.
const Own = "-"

// snapshotFolder is the file server's own.
const snapshotFolder = ".snapshot"

// leaveOut says why an entry is not copied; "" if it is.
func (p *Part) leaveOut(dir string, e *tree.Entry) string {
	switch e.Type() {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFDIR:
	default:
		return e.Kind()
	}
	switch {
	case dir == "" && e.Name == snapshotFolder:
		return "snapshot folder of the file server"
	case dir == "" && e.Name == destination.WorkFolder:
		return Own
	}
	return p.Rules.LeaveOut(dir, e)
}

// beside is the path of another record of the part.
func (p *Part) beside(suffix string) string {
	return strings.TrimSuffix(p.Manifest, ".manifest") + suffix
}

func (p *Part) findings() string { return p.beside(".findings") }

// strange reports whether an entry of the share belongs neither to the source as
// it is, nor to what was copied of it before.
func (p *Part) strange(dir string, now, old *tree.Dir, e *tree.Entry) bool {
	switch {
	case p.Rules.Apart(p.Target, dir, e):
		return false
	case dir == "" && (e.Name == destination.WorkFolder || e.Name == snapshotFolder || p.Rules.LeaveOut(dir, e) == Own):
		return false
	}
	for _, d := range []*tree.Dir{now, old} {
		if i := d.Find(e.Name); i >= 0 && d.Entries[i].IsDir() == e.IsDir() {
			return false
		}
	}
	return true
}

// Lstat looks at a path of the source as its copy will be.
func (p *Part) Lstat(path string) (tree.Entry, error) {
	e, err := tree.Lstat(unix.AT_FDCWD, path)
	p.Owners.Adopt(&e)
	return e, err
}

// Owners are those whom a copy can belong to: an ordinary user's copies are its
// own, in one of its groups; nil: anybody, for root, who serves a server of
// root's only.
type Owners struct {
	UID  uint32
	GIDs []uint32
}

// Writers are the owners of what this process writes.
func Writers() (*Owners, error) {
	if os.Geteuid() == 0 {
		return nil, nil
	}
	groups, err := os.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("look up groups: %w", err)
	}
	o := &Owners{UID: uint32(os.Geteuid()), GIDs: []uint32{uint32(os.Getegid())}}
	for _, g := range groups {
		o.GIDs = append(o.GIDs, uint32(g))
	}
	return o, nil
}

// has reports whether a copy can get the owner and group of an entry.
func (o *Owners) has(e *tree.Entry) bool {
	return o == nil || e.UID == o.UID && slices.Contains(o.GIDs, e.GID)
}

// Adopt makes an entry of the source what its copy will be: the server's own. It
// is what every comparison works with.
func (o *Owners) Adopt(e *tree.Entry) {
	if o == nil {
		return
	}
	if e.UID = o.UID; !slices.Contains(o.GIDs, e.GID) {
		e.GID = o.GIDs[0]
	}
}

// adoptAll adopts a folder and its entries.
func (o *Owners) adoptAll(d *tree.Dir) {
	o.Adopt(&d.Self)
	for i := range d.Entries {
		o.Adopt(&d.Entries[i])
	}
}
