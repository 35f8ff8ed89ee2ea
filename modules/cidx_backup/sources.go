package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/beneath"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/obstacle"
	"cidx-cluster/modules/internal/problem"
)

// wanted is a file to keep.
type wanted struct {
	kept.File
	at     spot
	absent bool
	size   int64
}

// find lists what is to be kept, in a fixed order. A file that a server start
// would make is listed also where it is absent.
func (k *keeper) find() ([]wanted, error) {
	files := k.places.Fixed()
	aliases, err := k.places.Aliases()
	var problems problem.List
	problems.Add(err)
	var list []wanted
	for _, f := range append(files, aliases...) {
		w, err := k.want(f)
		problems.Add(err)
		if err == nil {
			list = append(list, w)
		}
	}
	return list, problems.Err()
}

func (k *keeper) spot(f kept.File) spot {
	dir, rel := k.places.Where(f)
	return spot{dir, rel}
}

func (k *keeper) want(f kept.File) (wanted, error) {
	w := wanted{File: f, at: k.spot(f)}
	if f.Kind == kept.Config {
		return w, nil // read and parsed before
	}
	info, err := w.at.dir.Lstat(w.at.rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.absent = true
		return w, nil
	case errors.Is(err, beneath.ErrLink):
		return w, problem.Problem{What: err.Error(), At: filepath.Dir(w.at.String()),
			Fix: "replace the link by the folder that it leads to; a backup through links could not be brought back"}
	case err != nil:
		return w, problem.Problem{What: err.Error(), At: w.at.String(), Fix: "make the file readable for the user that runs the migration"}
	case info.Mode()&fs.ModeSymlink != 0:
		return w, linked(w.at.String())
	case !info.Mode().IsRegular():
		return w, problem.Problem{What: "not a regular file", At: w.at.String(), Fix: "move it away and restore the file"}
	}
	w.size = info.Size()
	return w, nil
}

// linked is the problem of a link in place of a file: its copy could be put
// back in place of the link only, and the server would lose the file behind it.
func linked(at string) error {
	to, err := os.Readlink(at)
	if err != nil {
		return err
	}
	return problem.Problem{What: fmt.Sprintf("a symbolic link to %q: a backup through links could not be brought back", to), At: at,
		Fix: "with the server stopped, put the file in its place (a database with its -wal, if there is one): " + obstacle.InPlace(at, to)}
}
