package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/reach"
)

// wanted is a file to keep.
type wanted struct {
	path   string // absolute
	name   string // for the manifest: below the home, else absolute
	kind   string
	copy   string // below the state folder
	absent bool
	size   int64
}

// find lists what is to be kept, in a fixed order. A file that a server start
// would make is listed also where it is absent.
func (k *keeper) find() ([]wanted, error) {
	var list []wanted
	var problems cidx.Problems
	add := func(path, kind string) {
		w, err := k.want(path, kind)
		problems.Add(err)
		if err == nil {
			list = append(list, w)
		}
	}
	for _, d := range cidx.DatabaseFiles() {
		path := filepath.Join(k.Home, d.Path)
		add(path, kindDatabase)
		for _, side := range cidx.SideFiles(path) {
			add(side, kindDatabase)
		}
	}
	for _, path := range k.keys() {
		add(path, kindKey)
	}
	aliases, err := k.aliases()
	problems.Add(err)
	return append(list, aliases...), problems.Err()
}

func (k *keeper) want(path, kind string) (wanted, error) {
	w := wanted{path: path, name: path, kind: kind, copy: filepath.Join("snapshot", "outside", path)}
	if rel, err := filepath.Rel(k.Home, path); err == nil && !strings.HasPrefix(rel, "..") {
		w.name, w.copy = rel, filepath.Join("snapshot", rel)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.absent, w.copy = true, ""
		return w, nil
	case err != nil:
		return w, cidx.Problem{What: err.Error(), At: path, Fix: "make the file readable for the user that runs the migration"}
	case !info.Mode().IsRegular():
		return w, cidx.Problem{What: "not a regular file", At: path, Fix: "move it away and restore the file"}
	}
	w.size = info.Size()
	return w, nil
}

// keys lists the files that hold keys. CIDX 11.79 keeps .jwt_secret in the
// service user's ~/.cidx-server, wherever the home is.
func (k *keeper) keys() []string {
	list := []string{
		filepath.Join(k.Home, ".encryption_key_salt"),
		filepath.Join(k.Home, "data", "mfa_key.dat"),
		filepath.Join(k.Home, ".jwt_secret"),
	}
	user, err := reach.Service(k.User, k.Home)
	if err != nil || user.Home == "" {
		return list
	}
	other := filepath.Join(user.Home, ".cidx-server")
	here, errHere := os.Stat(k.Home)
	there, errThere := os.Stat(other)
	if errHere == nil && errThere == nil && !os.SameFile(here, there) {
		list = append(list, filepath.Join(other, ".jwt_secret"))
	}
	return list
}

// aliases lists the original alias files. Their names below the home are those
// of the time before the cut-over.
func (k *keeper) aliases() ([]wanted, error) {
	var list []wanted
	for _, t := range cidx.AllTrees(k.Home, "") {
		if t.Name != cidx.GoldenRepos || !realFolder(t.Local) {
			continue
		}
		for _, dir := range []string{"aliases", "."} {
			entries, err := os.ReadDir(filepath.Join(t.Local, dir))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list aliases: %w", err)
			}
			for _, e := range entries {
				path := filepath.Join(t.Local, dir, e.Name())
				if !e.Type().IsRegular() || !strings.HasSuffix(e.Name(), ".json") || !cidx.IsAliasFile(path) {
					continue
				}
				w, err := k.want(path, kindAlias)
				if err != nil {
					return nil, err
				}
				rel, err := filepath.Rel(k.Home, filepath.Join(t.Link, dir, e.Name()))
				if err != nil {
					return nil, fmt.Errorf("name alias: %w", err)
				}
				w.name, w.copy = rel, filepath.Join("aliases", rel)
				list = append(list, w)
			}
		}
	}
	return list, nil
}

func realFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}
