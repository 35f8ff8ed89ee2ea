package files

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/git"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/obstacle"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// part is what is copied as one: a tree, or the snapshots inside one. Its name is
// golden-repos, versioned or activated-repos.
type part struct {
	mirror.Part
	label string            // as the transcript calls it: "golden-repos/"
	moves map[string]string // prefixes of paths that change in the copy
	share string
}

// partsOf lists the parts of the server that are wanted, in the order of copying.
func (c *step) partsOf(wanted []string) []*part {
	var list []*part
	add := func(name, label, source, target string, inside bool) {
		if len(wanted) > 0 && !slices.Contains(wanted, name) {
			return
		}
		p := &part{label: label + "/", moves: c.moves, share: c.Mount}
		p.Part = mirror.Part{
			Name: name, Source: source, Target: target, Inside: inside,
			Manifest: c.args.State().Manifest(name), Rules: p, Owners: c.owners,
		}
		list = append(list, p)
	}
	for _, t := range c.layout.Trees {
		add(t.Name, filepath.Base(t.Link), t.Local, t.Target, false)
		if t.Name == cidx.GoldenRepos && c.layout.Kind == "real" {
			in := func(tree string) string { return filepath.Join(tree, versionedFolder) }
			add(cidx.Versioned, versionedFolder, in(t.Local), in(t.Target), true)
		}
	}
	return list
}

const versionedFolder = ".versioned"

// LeaveOut says why an entry is not copied; "" if it is.
//
// CIDX 11.79 judges locks and markers by host name and process; copied, they
// would look like another node's and block it for hours. Its .cache and .trash
// are rebuilt. Git's lock files would stop every git command in the copy.
func (p *part) LeaveOut(dir string, e *tree.Entry) string {
	is := func(prefix, suffix string) bool {
		return strings.HasPrefix(e.Name, prefix) && strings.HasSuffix(e.Name, suffix)
	}
	golden := p.Name == cidx.GoldenRepos
	switch {
	case dir == "" && p.Name == cidx.ActivatedRepos && e.Name == ".trash":
		return "trash"
	case dir == "" && golden && top[e.Name] != "":
		return top[e.Name]
	case golden && dir == "cidx-meta/dependency-map" && is("_active_", ".lock"):
		return "lock of a running dependency map"
	case golden && (dir == "aliases" || dir == "") && e.IsRegular() && is(".", ".tmp"):
		return "temporary alias file"
	case e.IsRegular() && (is("", ".lock") || e.Name == "gc.pid") && git.Within(dir):
		return "git lock"
	}
	return ""
}

// top is what is left out at the top of the golden repositories.
var top = map[string]string{versionedFolder: mirror.Own, ".cache": "cache", ".locks": "locks", ".write_mode": "write-mode markers"}

// Apart reports whether an entry below root, the source or the share, is an alias
// file. cidx_aliases writes those on the share and takes away what is stale there.
func (p *part) Apart(root, dir string, e *tree.Entry) bool {
	return p.Name == cidx.GoldenRepos && (dir == "aliases" || dir == "") && e.IsRegular() && strings.HasSuffix(e.Name, ".json") &&
		home.IsAliasFile(filepath.Join(root, dir, e.Name))
}

// Kinds of findings, besides those of the copy itself.
const (
	outside = "points out of the copied folders"
	served  = "served by the link in the folder's old place"
)

// Find tells the absolute paths in an entry, the target of a link or those that
// git keeps: which lead into the moved folders, and which out of them.
func (p *part) Find(source *tree.Root, dir string, e *tree.Entry) (list []manifest.Finding) {
	path := tree.Join(dir, e.Name)
	add := func(kind, to, detail string) {
		if kind == served || !p.everywhere(to) {
			list = append(list, manifest.Finding{Kind: kind, Path: path, Detail: detail + " " + to})
		}
	}
	if e.IsSymlink() {
		switch {
		case !strings.HasPrefix(e.Link, "/"):
		case repath.Rewrite(e.Link, p.moves) != e.Link:
			add(served, e.Link, "symbolic link to")
		default:
			add(outside, e.Link, "symbolic link to")
		}
		return list
	}
	kind, inside, out := git.Paths(source, dir, e, p.moves)
	for _, to := range out {
		add(outside, to, "git's "+kind+" has")
	}
	for _, to := range inside {
		add(served, to, "git's "+kind+" has")
	}
	return list
}

// everywhere reports whether a path exists on every node.
func (p *part) everywhere(path string) bool {
	for _, common := range []string{"/usr/", "/bin/", "/dev/null", "/etc/", "/lib/", "/proc/", p.share + "/"} {
		if strings.HasPrefix(path, common) {
			return true
		}
	}
	return false
}

// Repositories lie at a depth that depends on the part: golden-repos/<alias>,
// .versioned/<alias>/v_<time>, activated-repos/<user>/<alias>.
func (p *part) depth() int {
	if p.Name == cidx.GoldenRepos {
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

// nouns are what a part's repositories are called in the transcript, one and several.
var nouns = map[string][2]string{
	cidx.GoldenRepos: {"repository", "repositories"}, cidx.Versioned: {"snapshot", "snapshots"},
	cidx.ActivatedRepos: {"activated repository", "activated repositories"},
}

// seen is what a look has seen of CIDX.
type seen struct {
	part *part

	mu           sync.Mutex
	repositories int
	clones       []string        // repositories that git made
	worked       map[string]bool // repositories with work of which git knows
	sqlite       []string
	followed     problem.List // links that CIDX follows and the copy does not
}

// Look begins a look.
func (p *part) Look() mirror.Observer { return &seen{part: p, worked: map[string]bool{}} }

// Folder notes repositories, SQLite files and links.
func (s *seen) Folder(d *tree.Dir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.part.isRepository(d) {
		s.repositories++
		if d.Find(".git") >= 0 {
			s.clones = append(s.clones, d.Path)
		}
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		switch filepath.Ext(e.Name) {
		case ".db", ".sqlite", ".sqlite3":
			if e.IsRegular() {
				s.sqlite = append(s.sqlite, tree.Join(d.Path, e.Name))
			}
		}
		if link := obstacle.Followed(s.part.Name, s.part.Source, s.part.Target, s.part.moves, d.Path, e); link != nil {
			s.followed = append(s.followed, *link)
		}
	}
}

// isRepository reports whether d is a repository's own folder: git or CIDX have
// put theirs into it. Snapshots are recognised by their place.
func (p *part) isRepository(d *tree.Dir) bool {
	if d.Path == "" || strings.Count(d.Path, "/") != p.depth()-1 {
		return false
	}
	_, name := tree.Parent(d.Path)
	if p.Name == cidx.Versioned {
		return strings.HasPrefix(name, "v_")
	}
	return d.Find(".git") >= 0 || d.Find(".code-indexer") >= 0
}

// Work notes repositories with work that concerns git.
func (s *seen) Work(now, old *tree.Dir, done func(int) bool) {
	if repo := s.part.repository(now.Path); concernsGit(repo, now, old, done) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.worked[repo] = true
	}
}

// concernsGit reports whether there is work in a folder in what git fsck and the
// refs are read from: a fetch that brings nothing, and an index of CIDX's, are none.
func concernsGit(repo string, now, old *tree.Dir, done func(int) bool) bool {
	below, inside := strings.CutPrefix(now.Path, tree.Join(repo, ".git"))
	names := git.Reads()
	switch {
	case now.Path == repo:
		names = []string{".git"}
	case !inside || repo == "":
		return false
	case below != "":
		first, _, _ := strings.Cut(below[1:], "/")
		return slices.Contains(names, first)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		i, k := now.Find(name), old.Find(name)
		if i < 0 || k < 0 {
			return i != k
		}
		return !tree.SameSource(&now.Entries[i], &old.Entries[k]) || !done(k)
	})
}

// Touched reports whether there is work in a repository that its check concerns.
func (s *seen) Touched(repo string) bool { return s.worked[repo] }
