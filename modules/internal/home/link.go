package home

import (
	"fmt"
	"path/filepath"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
)

// FollowedLink is the problem of a symbolic link to something that CIDX follows
// on its way to a repository, and that a copy of the link would not lead to on
// another node. It looks at nothing.
func FollowedLink(at, to string) problem.Problem {
	from := to
	if !filepath.IsAbs(from) {
		from = filepath.Join(filepath.Dir(at), from)
	}
	return problem.Problem{
		What: fmt.Sprintf("%s is a symbolic link to %q: CIDX follows it, but on other nodes a copy of it leads nowhere", filepath.Base(at), to), At: at,
		Fix: fmt.Sprintf("with the server stopped, put what it leads to in its place: rm %s && mv %s %s (or cp -a in place of mv, if it is needed there, too), start the server, and run again",
			human.Word(at), human.Word(from), human.Word(at)),
	}
}

// MoveAside is the order to move what this user may not move into a folder.
func MoveAside(path, folder string) string {
	return "move it there as its owner or root: mkdir -p " + human.Word(folder) + " && mv " + human.Word(path) + " " + human.Word(folder) + "/; then run again"
}
