package obstacle

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// CIDX follows symbolic links on its way to a repository; a copy of such a link
// leads nowhere on another node. Links above a tree, a tree that is a link, and
// .versioned are followed here, too. Below them nothing can be: which of the two
// places is the repository's, only the operator knows. Those are refused by name.

// Followed is the problem of a link that CIDX follows and the copy does not; nil
// for every other entry. dir is where the entry lies in a tree or in the snapshots,
// which are called name, from source to target. Links inside the moved folders work
// on the share as they do here.
func Followed(name, source, target string, moves map[string]string, dir string, e *tree.Entry) *problem.Problem {
	if !e.IsSymlink() || !onTheWay(name, dir, e.Name) {
		return nil
	}
	at := filepath.Join(source, dir, e.Name)
	// What lies behind a link in the place of a user is another user's, or nobody's.
	if user := name == cidx.ActivatedRepos && dir == ""; !user {
		here, there := filepath.Join(source, dir, e.Link), path.Join(target, dir, e.Link)
		moved := repath.Rewrite(here, moves) == there
		if filepath.IsAbs(e.Link) {
			moved = repath.Rewrite(e.Link, moves) != e.Link
		}
		if moved {
			return nil
		}
	}
	switch to := behind(at); {
	case to.Missing:
		return nil // CIDX finds nothing behind it either
	case to.Fault == "" && !to.Folder && !strings.HasSuffix(e.Name, ".json"):
		return nil
	}
	link := Link(at, e.Link)
	return &link
}

// onTheWay reports whether CIDX meets an entry on its way to a repository, an
// alias or the record of an activation: golden-repos/<alias>, its aliases,
// .versioned/<alias>/v_<time>, activated-repos/<user>/<alias>.
func onTheWay(tree, dir, name string) bool {
	switch depth := strings.Count(dir, "/"); {
	case dir == "":
		return true
	case tree == cidx.GoldenRepos:
		return dir == "aliases" && strings.HasSuffix(name, ".json")
	default:
		return depth == 0
	}
}

// behind looks at what is at the end of a link, which may lead to a dead mount.
func behind(path string) reach.Answer {
	answers, err := reach.Resolve(context.Background(), reach.Identity{UID: os.Geteuid()}, 3*time.Second, []string{path})
	if err != nil {
		return reach.Answer{Fault: err.Error()}
	}
	return answers[0]
}

// Dangling are the folders of a server that are links to nothing: what was
// behind them would be missing without a word.
func Dangling(root, mount string) (problems problem.List) {
	var paths []string
	for _, t := range home.AllTrees(root, mount) {
		if to, err := os.Readlink(t.Link); t.Moved() || err == nil && to == t.Target {
			continue
		}
		paths = append(paths, t.Link, filepath.Join(t.Link, ".versioned"))
	}
	for _, path := range paths {
		to, err := os.Readlink(path)
		if err != nil {
			continue
		}
		if found := behind(path); found.Fault != "" {
			problems = append(problems, problem.Problem{
				What: fmt.Sprintf("a symbolic link to %q, where nothing is (%s)", to, found.Fault), At: path,
				Fix: "mount or restore what it led to; if the server never had anything there, remove the link",
			})
		}
	}
	return problems
}

// Link is the problem of a symbolic link to something that CIDX follows
// on its way to a repository, and that a copy of the link would not lead to on
// another node. It looks at nothing.
func Link(at, to string) problem.Problem {
	return problem.Problem{
		What: fmt.Sprintf("%s is a symbolic link to %q: CIDX follows it, but on other nodes a copy of it leads nowhere",
			filepath.Base(at), to),
		At: at,
		Fix: fmt.Sprintf("with the server stopped, put what it leads to in its place: %s "+
			"(or cp -a in place of mv, if it is needed there, too), start the server, and run again", InPlace(at, to)),
	}
}

// InPlace is the commands that put what a link leads to in its place.
func InPlace(at, to string) string {
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(at), to)
	}
	return fmt.Sprintf("rm %[1]s && mv %[2]s %[1]s", human.Word(at), human.Word(to))
}
