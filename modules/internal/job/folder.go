package job

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
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
	me := process.UserName(os.Geteuid())
	return problem.Problem{
		What: fmt.Sprintf("%s, the server's user, cannot write the state folder: %v", me, err), At: state,
		Fix: fmt.Sprintf("make it: install -d -o %s -g \"$(id -gn %s)\" -m 0700 %s", me, me, human.Word(state)),
	}
}
