// Package owned finds what the server's user cannot use although it is its own
// server's: a state folder that somebody else left, links in it, files that it
// cannot read. Each problem names the command that ends it. It opens nothing and
// changes nothing.
package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
)

// State lists what keeps uid, the server's user, from working in its state
// folder: entries of other users, which an earlier release wrote as root, and
// links and special files, which no release makes: reading or writing one would
// mean another file. A folder that is not there has no problems.
func State(state string, uid int) (problem.List, error) {
	folder, err := filepath.EvalSymlinks(state) // itself it may be a link to another disk
	if err != nil {
		folder = state
	}
	found := leftovers{uid: uid}
	if errors.Is(access(folder, unix.F_OK), fs.ErrPermission) {
		return Unreadable(folder, []string{folder}), nil // a folder above it keeps us out
	}
	if err := filepath.WalkDir(folder, found.look); err != nil {
		return nil, fmt.Errorf("look through the state folder: %w", err)
	}
	return found.problems(state), nil
}

// leftovers is what State has found.
type leftovers struct {
	uid     int
	foreign string   // the first entry of somebody else; "" where there is none
	links   []string // and special files
}

func (l *leftovers) look(path string, entry fs.DirEntry, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		l.another(path)
		return fs.SkipDir
	case durable.Absent(err), err != nil && entry == nil:
		return nil // no folder, or none that can be reached: the module tells
	case err != nil:
		return err
	}
	info, err := entry.Info()
	switch {
	case durable.Absent(err):
		return nil
	case err != nil:
		return err
	case !info.IsDir() && !info.Mode().IsRegular():
		l.links = append(l.links, path)
	case l.uid != 0 && Owner(info) != l.uid:
		l.another(path)
	}
	return nil
}

func (l *leftovers) another(path string) {
	if l.foreign == "" {
		l.foreign = path
	}
}

func (l *leftovers) problems(state string) problem.List {
	var problems problem.List
	name := process.UserName(l.uid)
	if len(l.links) > 0 {
		problems = append(problems, problem.Problem{
			What: "links or special files in the state folder, where only files belong: a migration follows none", At: state,
			Fix: "find out who made them, and remove them: rm " + words(l.links),
		})
	}
	if l.foreign != "" {
		problems = append(problems, problem.Problem{
			What: fmt.Sprintf("%s does not belong to %s, the server's user: an earlier run wrote it as somebody else",
				l.foreign, name), At: state,
			Fix: fmt.Sprintf("hand it over: chown -hR %s: %s", name, human.Word(state)),
		})
	}
	return problems
}

// Owner is the numeric owner of what info tells of; -1 if unknown.
func Owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func words(paths []string) string {
	quoted := make([]string, len(paths))
	for i, p := range paths {
		quoted[i] = human.Word(p)
	}
	return strings.Join(quoted, " ")
}
