package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// CIDX follows symbolic links on its way to a repository; a copy of such a link
// leads nowhere on another node. Links above a tree, a tree that is a link, and
// .versioned are followed here, too. Below them nothing can be: which of the two
// places is the repository's, only the operator knows. Those are refused by name.

// followed is the problem of a link that CIDX follows and the copy does not; nil
// for every other entry. Links inside the moved folders work on the share as
// they do here.
func (p *part) followed(dir string, e *tree.Entry) *problem.Problem {
	if !e.IsSymlink() || !p.onTheWay(dir, e.Name) {
		return nil
	}
	at := filepath.Join(p.source, dir, e.Name)
	if !p.user(dir) && p.keepsItsTarget(dir, e) {
		return nil
	}
	isDir, err := leads(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // CIDX finds nothing behind it either
	case err == nil && !isDir && !strings.HasSuffix(e.Name, ".json"):
		return nil
	}
	link := home.FollowedLink(at, e.Link)
	return &link
}

// onTheWay reports whether CIDX meets an entry on its way to a repository, an
// alias or the record of an activation: golden-repos/<alias>, its aliases,
// .versioned/<alias>/v_<time>, activated-repos/<user>/<alias>.
func (p *part) onTheWay(dir, name string) bool {
	switch depth := strings.Count(dir, "/"); {
	case dir == "":
		return true
	case p.name == cidx.GoldenRepos:
		return dir == "aliases" && strings.HasSuffix(name, ".json")
	default:
		return depth == 0
	}
}

// user reports whether the entries of a folder are users: what lies behind a
// link in the place of one is another user's, or nobody's.
func (p *part) user(dir string) bool { return p.name == cidx.ActivatedRepos && dir == "" }

// keepsItsTarget reports whether a link leads to the copy of what it leads to.
func (p *part) keepsItsTarget(dir string, e *tree.Entry) bool {
	if filepath.IsAbs(e.Link) {
		return repath.Rewrite(e.Link, p.moves) != e.Link
	}
	here := filepath.Join(p.source, dir, e.Link)
	return repath.Rewrite(here, p.moves) == path.Join(p.target, dir, e.Link)
}

// lookTime bounds one look behind a link, which may lead to a dead mount.
const lookTime = 3 * time.Second

var errNoAnswer = errors.New("no answer")

// leads reports whether a folder is at the end of a link.
func leads(path string) (isDir bool, err error) {
	type answer struct {
		isDir bool
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		info, err := os.Stat(path)
		answers <- answer{err == nil && info.IsDir(), err}
	}()
	select {
	case a := <-answers:
		return a.isDir, a.err
	case <-time.After(lookTime):
		return false, errNoAnswer
	}
}

// dangling are the folders of a server that are links to nothing: what was
// behind them would be missing without a word.
func dangling(root, share string) (problems problem.List) {
	var paths []string
	for _, t := range home.AllTrees(root, share) {
		if t.Moved() || goesTo(t.Link, t.Target) {
			continue
		}
		paths = append(paths, t.Link, filepath.Join(t.Link, versionedFolder))
	}
	for _, path := range paths {
		to, err := os.Readlink(path)
		if err != nil {
			continue
		}
		if _, err := leads(path); err != nil {
			problems = append(problems, problem.Problem{
				What: fmt.Sprintf("a symbolic link to %q, where nothing is (%v)", to, cause(err)), At: path,
				Fix: "mount or restore what it led to; if the server never had anything there, remove the link",
			})
		}
	}
	return problems
}

// goesTo reports whether a link leads to the share already.
func goesTo(link, target string) bool {
	to, err := os.Readlink(link)
	return err == nil && to == target
}
