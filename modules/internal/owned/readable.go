package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
)

// Unreadable lists what keeps this process, which is the server's user, from
// reading the files and folders of a home, one problem for all that one kind of
// command ends. What is not there is no problem.
func Unreadable(home string, paths []string) problem.List {
	var closed, foreign, own []string // folders above the home; of others; the user's own
	uid := os.Geteuid()
	for _, path := range paths {
		at, info := obstacle(path)
		switch {
		case at == "" || slices.Contains(slices.Concat(closed, foreign, own), at):
		case at != home && !strings.HasPrefix(at, home+"/") && (info == nil || info.IsDir()):
			closed = append(closed, at)
		case info != nil && Owner(info) == uid:
			own = append(own, at)
		default:
			foreign = append(foreign, at)
		}
	}
	name := process.UserName(uid)
	var problems problem.List
	add := func(at []string, command string) {
		where := home
		switch len(at) {
		case 0:
			return
		case 1:
			where = at[0]
		}
		problems = append(problems, problem.Problem{What: name + ", the server's user, cannot read what belongs to its server", At: where,
			Fix: "let it: " + command + " " + words(at)})
	}
	add(foreign, fmt.Sprintf("chown -hR %s:", name))
	add(own, "chmod u+rwX")
	add(closed, fmt.Sprintf("setfacl -m u:%s:x", name))
	return problems
}

// Blocked reports whether this process cannot read path for want of rights.
func Blocked(path string) bool {
	at, _ := obstacle(path)
	return at != ""
}

// obstacle is the first part of path that cannot be passed, or path itself where
// that cannot be read; "" where all is well or nothing is there. info is nil
// where the obstacle cannot be looked at.
func obstacle(path string) (at string, info fs.FileInfo) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path // links on the way may be what cannot be passed
	}
	info, err = os.Stat(real)
	how := uint32(unix.R_OK)
	if err == nil && info.IsDir() {
		how |= unix.X_OK
	}
	err = access(real, how)
	if !errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		if errors.Is(access(dir, unix.X_OK), unix.EACCES) {
			if up := filepath.Dir(dir); access(up, unix.X_OK) != nil {
				continue
			}
			info, _ = os.Stat(dir) // nil is an answer, too
			return dir, info
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return real, info
}

func access(path string, how uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, how, unix.AT_EACCESS)
}
