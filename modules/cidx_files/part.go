package files

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/tree"
)

// part is what is copied as one: a tree, or the snapshots inside one.
type part struct {
	name   string // golden-repos, versioned or activated-repos
	label  string // as the transcript calls it: "golden-repos/"
	source string
	target string
	inside bool // the snapshots lie inside the golden-repos tree
	owners *owners
	moves  map[string]string // prefixes of paths that change in the copy
	share  string
	found  findings // by the last look; nil before the first
}

// partsOf lists the parts of a layout that are wanted, in the order of copying.
func partsOf(l home.Layout, wanted []string) []*part {
	var list []*part
	add := func(p *part) {
		if len(wanted) == 0 || slices.Contains(wanted, p.name) {
			list = append(list, p)
		}
	}
	for _, t := range l.Trees {
		p := &part{name: t.Name, label: filepath.Base(t.Link) + "/", source: t.Local, target: t.Target}
		add(p)
		if t.Name == cidx.GoldenRepos && l.Kind == "real" {
			add(&part{
				name: cidx.Versioned, label: versionedFolder + "/", inside: true,
				source: filepath.Join(t.Local, versionedFolder), target: filepath.Join(t.Target, versionedFolder),
			})
		}
	}
	return list
}

const (
	versionedFolder = ".versioned"
	// workFolder holds rsync's temporary files; it is at the top of a target so
	// that a rename out of it never crosses file systems.
	workFolder = ".cidx-copy"
	// snapshotFolder is the file server's own.
	snapshotFolder = ".snapshot"
)

// leaveOut says why an entry is not copied; "" if it is.
//
// CIDX 11.79 judges locks and markers by host name and process; copied, they
// would look like another node's and block it for hours. Its .cache and .trash
// are rebuilt. Git's lock files would stop every git command in the copy.
func (p *part) leaveOut(dir string, e *tree.Entry) string {
	switch e.Type() {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFDIR:
	default:
		return e.Kind()
	}
	if dir == "" {
		if why := p.leaveOutTop(e.Name); why != "" {
			return why
		}
	}
	switch {
	case p.name == cidx.GoldenRepos && dir == "cidx-meta/dependency-map" && strings.HasPrefix(e.Name, "_active_") && strings.HasSuffix(e.Name, ".lock"):
		return "lock of a running dependency map"
	case p.name == cidx.GoldenRepos && (dir == "aliases" || dir == "") && e.IsRegular() && strings.HasPrefix(e.Name, ".") && strings.HasSuffix(e.Name, ".tmp"):
		return "temporary alias file"
	case e.IsRegular() && inGit(dir) && (strings.HasSuffix(e.Name, ".lock") || e.Name == "gc.pid"):
		return "git lock"
	}
	return ""
}

// ownPart marks what is not copied here because it is a part of its own, or
// ours: nothing to tell.
const ownPart = "-"

func (p *part) leaveOutTop(name string) string {
	switch {
	case name == snapshotFolder:
		return "snapshot folder of the file server"
	case name == workFolder:
		return ownPart
	case p.name == cidx.ActivatedRepos && name == ".trash":
		return "trash"
	case p.name != cidx.GoldenRepos:
		return ""
	case name == versionedFolder:
		return ownPart
	case name == ".cache":
		return "cache"
	case name == ".locks":
		return "locks"
	case name == ".write_mode":
		return "write-mode markers"
	}
	return ""
}

// inGit reports whether a folder is a git directory or inside one.
func inGit(dir string) bool {
	for name := range strings.SplitSeq(dir, "/") {
		if strings.HasSuffix(name, ".git") {
			return true
		}
	}
	return false
}

// Repositories lie at a depth that depends on the part: golden-repos/<alias>,
// .versioned/<alias>/v_<time>, activated-repos/<user>/<alias>.
func (p *part) depth() int {
	if p.name == cidx.GoldenRepos {
		return 1
	}
	return 2
}

// repository returns the repository that a folder belongs to, or "".
func (p *part) repository(dir string) string {
	names := strings.SplitN(dir, "/", p.depth()+1)
	if len(names) < p.depth() || dir == "" {
		return ""
	}
	return strings.Join(names[:p.depth()], "/")
}

// noun is what the part's repositories are called in the transcript.
func (p *part) noun(n int) string {
	one := map[string]string{cidx.GoldenRepos: "repository", cidx.Versioned: "snapshot", cidx.ActivatedRepos: "activated repository"}[p.name]
	if n == 1 {
		return one
	}
	if strings.HasSuffix(one, "y") {
		return strings.TrimSuffix(one, "y") + "ies"
	}
	return one + "s"
}
