package precheck

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/owned"
	"cidx-cluster/modules/internal/problem"
)

// stateFolder finds what an earlier release left to root, and links.
func (e *examiner) stateFolder() error {
	if _, err := os.Lstat(string(e.State())); errors.Is(err, fs.ErrPermission) && len(e.found.closed) > 0 {
		return problem.List{} // told
	}
	problems, err := owned.State(string(e.State()), os.Geteuid())
	if err != nil {
		return err
	}
	return problems.Err()
}

// closed finds, all at once, the files outside the repositories that the steps
// read and the server's user cannot: configurations, databases, keys, aliases.
func (e *examiner) closed() problem.List {
	paths := kept.Paths(e.Common)
	old, _ := filepath.Glob(filepath.Join(e.Home, "config.json.*")) // well-formed unless the home has brackets
	paths = append(paths, old...)
	for _, t := range home.AllTrees(e.Home, "") {
		// What a link leads to may be a share that hangs.
		if t.Name == cidx.GoldenRepos && home.IsRealFolder(t.Local) {
			paths = append(paths, aliasPaths(t.Local)...)
		}
	}
	return owned.Unreadable(e.Home, paths)
}

// hidden reports whether the cluster's settings are missing only because the file
// that may hold them is not looked at.
func (f findings) hidden(config string) bool {
	if f.nowErr != nil {
		return owned.Blocked(config)
	}
	return f.unclean && !f.now.Cluster()
}

// untold leaves out what only says that a file cannot be read which is listed.
func (f findings) untold(err error) problem.List {
	return slices.DeleteFunc(problem.Of(err), func(p problem.Problem) bool { return len(f.closed) > 0 && owned.Blocked(p.At) })
}

// aliasPaths are the folders that hold alias files, and the files in them.
func aliasPaths(golden string) []string {
	paths := []string{golden}
	files, err := home.AliasFiles(golden)
	for _, p := range problem.Of(err) {
		paths = append(paths, p.At)
	}
	for _, f := range files {
		if f.Info.Mode().IsRegular() {
			paths = append(paths, filepath.Join(golden, f.Rel))
		}
	}
	return paths
}
