package job

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
)

// room tells a rehearsal what the real run would meet: a state folder that
// cannot be made.
func (t *Turn) room() error {
	dir := t.request.State
	if t.request.Run.Lease != Take || !there(t.request.Home) {
		return nil
	}
	for !there(dir) && dir != "/" {
		dir = filepath.Dir(dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return closed(t.request.State, fmt.Errorf("%s: %w", dir, err))
	}
	return nil
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// closed is the problem of a state folder that the server's user cannot make or
// write to.
func closed(state string, err error) error {
	me := userName(os.Geteuid())
	return cidx.Problem{
		What: fmt.Sprintf("%s, the server's user, cannot write the state folder: %v", me, err), At: state,
		Fix: fmt.Sprintf("make it: install -d -o %s -g \"$(id -gn %s)\" -m 0700 %s", me, me, quoted(state)),
	}
}

// foreign refuses a state folder in which something belongs to another user
// than uid: an earlier release wrote as root what only the server's user may
// write now.
func foreign(state string, uid int) error {
	found := ""
	err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case absent(err), err != nil && entry == nil:
			return nil // no folder, or none that can be reached: the module tells
		case errors.Is(err, fs.ErrPermission):
			found = path
			return fs.SkipAll
		case err != nil:
			return err
		}
		info, err := entry.Info()
		if err == nil && owner(info) != uid {
			found = path
			return fs.SkipAll
		}
		if absent(err) {
			return nil
		}
		return err
	})
	if err != nil || found == "" {
		return err
	}
	user := userName(uid)
	return cidx.Problem{
		What: fmt.Sprintf("%s does not belong to %s, the server's user: an earlier run wrote it as somebody else", found, user), At: state,
		Fix: fmt.Sprintf("hand it over: chown -hR %s: %s", user, quoted(state)),
	}
}
