// Package reach knows users, and resolves paths in a child process
// with a deadline: a dead mount gives a message, not a hang. It reads only.
package reach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/modules/internal/child"
	"cidx-cluster/modules/internal/problem"
)

// Answer is what one path is to the user.
type Answer struct {
	Path    string `json:"path"`
	Real    string `json:"real"`    // without symbolic links; "" if it cannot be reached
	Folder  bool   `json:"folder"`  // it is a folder
	Missing bool   `json:"missing"` // it does not exist
	Fault   string `json:"fault"`   // why it cannot be reached, with the component
}

var resolve = child.New("resolve", func(paths []string, tell func(Answer)) error {
	for _, path := range paths {
		tell(look(path))
	}
	return nil
})

// Resolve answers for every path, in order, as user, who must be ourselves: a
// module that was started by root is that user already. The error is a
// problem.Problem when that is not so, and when the file system does not answer within the deadline.
func Resolve(ctx context.Context, user Identity, deadline time.Duration, paths []string) ([]Answer, error) {
	if user.UID != os.Geteuid() {
		what := fmt.Sprintf("cannot look as user %s: not root", user)
		return nil, problem.Problem{What: what, At: "cidx_service_user", Fix: "set ansible_become to true"}
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var answers []Answer
	err := resolve.Ask(ctx, paths, func(a Answer) { answers = append(answers, a) })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, fmt.Errorf("resolve paths: %w", ctx.Err())
		}
		at := paths[min(len(answers), len(paths)-1)]
		what := fmt.Sprintf("no answer within %s", deadline)
		return nil, problem.Problem{What: what, At: at, Fix: "check the file server and the network; the mount hangs"}
	}
	if err != nil {
		return answers, fmt.Errorf("resolve paths: %w", err)
	}
	return answers, nil
}

func look(path string) Answer {
	a := Answer{Path: path}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(real); err == nil {
			a.Real, a.Folder = real, info.IsDir()
			// A folder has to be listed, too.
			if a.Folder {
				var d *os.File
				if d, err = os.Open(real); err == nil {
					_ = d.Close() // opened for reading only
				}
			}
		}
	}
	if err != nil {
		a.Real, a.Fault, a.Missing = "", err.Error(), errors.Is(err, fs.ErrNotExist)
	}
	return a
}

// Identity is a user with the ids that file systems judge by.
type Identity struct {
	Name   string `json:"name"` // "" where the id has no name here
	Home   string `json:"home"` // home folder; "" if unknown
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Groups []int  `json:"groups"`
}

// String is the name, else the number.
func (i Identity) String() string {
	if i.Name != "" {
		return i.Name
	}
	return strconv.Itoa(i.UID)
}

// Lookup finds a user by name or number.
func Lookup(name string) (Identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return Identity{}, fmt.Errorf("look up user %q: %w", name, err)
		}
	}
	return identity(u)
}

func identity(u *user.User) (Identity, error) {
	i := Identity{Name: u.Username, Home: u.HomeDir}
	var err error
	if i.UID, err = strconv.Atoi(u.Uid); err != nil {
		return i, fmt.Errorf("read uid: %w", err)
	}
	if i.GID, err = strconv.Atoi(u.Gid); err != nil {
		return i, fmt.Errorf("read gid: %w", err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return i, fmt.Errorf("look up groups of %q: %w", u.Username, err)
	}
	for _, g := range groups {
		if n, err := strconv.Atoi(g); err == nil {
			i.Groups = append(i.Groups, n)
		}
	}
	return i, nil
}

// Service is the user that the server runs as: name if given, else the owner of
// home. It follows links; whoever is root asks Owner instead.
func Service(name, home string) (Identity, error) {
	if name != "" {
		return Lookup(name)
	}
	info, err := os.Stat(home)
	if err != nil {
		return Identity{}, fmt.Errorf("find the service user: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Identity{}, fmt.Errorf("find the service user: no owner of %s", home)
	}
	return byID(owner)
}

func byID(owner *syscall.Stat_t) (Identity, error) {
	if u, err := user.LookupId(strconv.Itoa(int(owner.Uid))); err == nil {
		return identity(u)
	}
	return Identity{UID: int(owner.Uid), GID: int(owner.Gid), Groups: []int{int(owner.Gid)}}, nil
}

// Owner is the user as whom root serves a home: its owner, if nobody else could
// have put the folder, or a link to it, into its place. It opens nothing. Of a
// home that is not there it is the nearest folder's. The error is a Problem, the
// fix of which is to name the user.
func Owner(home string) (Identity, error) {
	info, hands, err := walk(home)
	if errors.Is(err, os.ErrNotExist) && home != "/" {
		return Owner(filepath.Dir(home))
	}
	if err != nil {
		return Identity{}, unclear(home, err.Error())
	}
	owner, err := byID(info.Sys().(*syscall.Stat_t))
	if err != nil {
		return Identity{}, unclear(home, err.Error())
	}
	for _, h := range hands {
		if !h.is(owner) {
			why := fmt.Sprintf("it belongs to %s, but %s can put another folder in its place: %s", owner, h.who, h.at)
			return Identity{}, unclear(home, why)
		}
	}
	return owner, nil
}

func unclear(home, why string) error {
	fix := "name the user that runs the server in cidx_service_user"
	return problem.Problem{What: "not clear whose server this is: " + why, At: home, Fix: fix}
}

// hand is somebody who can change where a path leads.
type hand struct {
	at, who  string
	uid, gid int // -1: not by that
}

func (h hand) is(owner Identity) bool {
	if owner.UID == 0 {
		return false
	}
	return h.uid == owner.UID || h.gid >= 0 && h.gid == owner.GID
}

// walk looks at every part of path, links included, without opening any. It
// returns what lies at the end, and whoever but root has a hand in it.
func walk(path string) (os.FileInfo, []hand, error) {
	var hands []hand
	parts := strings.Split(filepath.Clean(path), "/")
	at := "/"
	info, err := os.Lstat(at)
	if err != nil {
		return nil, nil, err
	}
	// In a user namespace, in which root is an ordinary user, / is nobody's.
	root := info.Sys().(*syscall.Stat_t).Uid
	for links := 0; err == nil && len(parts) > 0; {
		name := parts[0]
		parts = parts[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			info, err = os.Lstat(at)
			continue
		}
		parent, next := info, filepath.Join(at, name)
		if info, err = os.Lstat(next); err != nil {
			break
		}
		hands = append(hands, handsOf(at, root, parent, info)...)
		if info.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > 40 {
			return nil, nil, fmt.Errorf("too many links: %s", path)
		}
		to, err := os.Readlink(next)
		if err != nil {
			return nil, nil, err
		}
		parts = append(strings.Split(to, "/"), parts...)
		if filepath.IsAbs(to) {
			at = "/"
		}
		if info, err = os.Lstat(at); err != nil {
			return nil, nil, err
		}
	}
	return info, hands, err
}

// handsOf tells who but root can replace entry in the folder dir: its owner, its
// group or everybody where they may write, and in a sticky folder the entry's
// owner.
func handsOf(at string, root uint32, dir, entry os.FileInfo) []hand {
	d, e := dir.Sys().(*syscall.Stat_t), entry.Sys().(*syscall.Stat_t)
	var hands []hand
	if d.Uid != 0 && d.Uid != root {
		hands = append(hands, hand{at, fmt.Sprintf("uid %d", d.Uid), int(d.Uid), -1})
	}
	if dir.Mode()&os.ModeSticky != 0 {
		if e.Uid != 0 && e.Uid != root && entry.Mode()&os.ModeSymlink != 0 {
			hands = append(hands, hand{at, fmt.Sprintf("uid %d", e.Uid), int(e.Uid), -1})
		}
		return hands
	}
	if dir.Mode().Perm()&0o020 != 0 && d.Gid != 0 {
		hands = append(hands, hand{at, fmt.Sprintf("group %d", d.Gid), -1, int(d.Gid)})
	}
	if dir.Mode().Perm()&0o002 != 0 {
		hands = append(hands, hand{at, "everybody", -1, -1})
	}
	return hands
}
