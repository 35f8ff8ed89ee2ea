package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
)

// PreCluster is appended to what the cut-over moves aside.
const PreCluster = ".pre-cluster"

// Layout says where a home keeps its repositories. CIDX 11.79 keeps everything
// in data/golden-repos ("real"); older descriptions have golden-repos and
// .versioned directly below the home ("assumed").
type Layout struct {
	Home  string
	Share string
	Kind  string // "real" or "assumed"
	Trees []Tree
}

// Tree is a folder that moves to the share.
type Tree struct {
	Name   string // cidx.GoldenRepos, cidx.Versioned or cidx.ActivatedRepos
	Link   string // the path CIDX uses; after the cut-over a link to Target
	Local  string // holds the standalone data: Link, or Link+PreCluster after the cut-over
	Target string // the folder on the share
}

// Moved reports whether the cut-over has happened for this tree.
func (t Tree) Moved() bool { return t.Local != t.Link }

// Aside is where the cut-over keeps the standalone folder.
func (t Tree) Aside() string { return t.Link + PreCluster }

// AllTrees lists every tree that a home can have, whether it is there or not: the
// repositories as CIDX 11 keeps them and as older descriptions do, snapshots, activated
// ones. No link to the share is followed: a rollback must not wait for a dead one.
func AllTrees(home, share string) []Tree {
	tree := func(name, link, target string) Tree {
		t := Tree{Name: name, Link: filepath.Join(home, link), Target: filepath.Join(share, target)}
		if t.Local = t.Link; IsFolder(t.Aside()) && !IsRealFolder(t.Link) {
			t.Local = t.Aside()
		}
		return t
	}
	return []Tree{
		tree(cidx.GoldenRepos, "data/golden-repos", "golden-repos"),
		tree(cidx.GoldenRepos, "golden-repos", "golden-repos"),
		tree(cidx.Versioned, ".versioned", ".versioned"),
		tree(cidx.ActivatedRepos, "data/activated-repos", "activated-repos"),
	}
}

// Detect finds the layout of a home. After the cut-over it looks at what was
// moved aside and never follows the links: the share may be away. The error is
// a Problem, or problem.List.
func Detect(home, share string) (Layout, error) {
	all := AllTrees(home, share)
	var holds, aliased [2]bool
	for i, t := range all[:2] {
		var err error
		if holds[i], err = t.holdsRepositories(); err != nil {
			return Layout{}, err
		}
		aliases, _ := Aliases(t.Local) // what cannot be read is told by who needs it
		aliased[i] = len(aliases) > 0
	}
	if aliased[0] && aliased[1] {
		return Layout{}, problem.Problem{What: "alias files in both data/golden-repos and golden-repos", At: home,
			Fix: "find out which one the server uses (CIDX 11 uses data/golden-repos) and move the other one away"}
	}
	l := Layout{Home: home, Share: share, Kind: "real", Trees: all[:1:1]}
	switch {
	case holds[0] || aliased[0]:
	case holds[1] || aliased[1]:
		l.Kind, l.Trees = "assumed", all[1:2:2]
		if IsFolder(all[2].Local) {
			l.Trees = all[1:3:3]
		}
	default:
		return Layout{}, problem.Problem{What: "no golden repositories", At: all[0].Link,
			Fix: "name the server's data directory (server_dir) in cidx_home"}
	}
	if IsFolder(all[3].Local) {
		l.Trees = append(l.Trees, all[3])
	}
	return l, nil
}

// Tree returns the tree of that name; ok is false where the layout has none.
func (l Layout) Tree(name string) (t Tree, ok bool) {
	for _, t := range l.Trees {
		if t.Name == name {
			return t, true
		}
	}
	return Tree{}, false
}

// holdsRepositories reports whether a tree was moved aside, or holds an aliases
// folder or at least one git repository. A path that is no folder is a Problem.
func (t Tree) holdsRepositories() (bool, error) {
	if t.Moved() {
		return true, nil
	}
	dir := t.Link
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, problem.Problem{What: err.Error(), At: dir, Fix: "make the folder readable for the user that runs the migration"}
	case !info.IsDir():
		return false, problem.Problem{What: fmt.Sprintf("a %s where a folder should be", kindOf(info.Mode())), At: dir,
			Fix: "move it away and restore the folder of golden repositories"}
	}
	if IsFolder(filepath.Join(dir, "aliases")) {
		return true, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, problem.Problem{What: err.Error(), At: dir, Fix: "make the folder readable for the user that runs the migration"}
	}
	for _, e := range entries {
		if IsFolder(filepath.Join(dir, e.Name(), ".git")) {
			return true, nil
		}
	}
	return false, nil
}

// IsFolder reports whether path is a folder, or a link to one.
func IsFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// IsRealFolder is IsFolder for a folder itself, not for a link to one.
func IsRealFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	}
	return "special file"
}
