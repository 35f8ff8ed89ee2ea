// Package reach knows users, and resolves paths in a child process
// with a deadline: a dead mount gives a message, not a hang. It reads only.
package reach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
		return nil, problem.Problem{What: fmt.Sprintf("cannot look as user %s: not root", user), At: "cidx_service_user", Fix: "set ansible_become to true"}
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
		return nil, problem.Problem{What: fmt.Sprintf("no answer within %s", deadline), At: at, Fix: "check the file server and the network; the mount hangs"}
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
