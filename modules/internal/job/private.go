package job

import (
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/owned"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
)

// Private finds and makes the folder in which the server's user, started by
// root, keeps what is its own and temporary: ~/.cache/cidx-helper, where it has
// no home that it may write one of its own in /var/tmp. The helper's folder is
// root's.
func Private() (string, error) {
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		dir := filepath.Join(home, ".cache", "cidx-helper")
		if os.MkdirAll(dir, 0o700) == nil && probe(dir) == nil {
			return dir, nil
		}
	}
	dir := fmt.Sprintf("/var/tmp/cidx-helper-%d", os.Geteuid())
	err := os.Mkdir(dir, 0o700)
	info, lerr := os.Lstat(dir)
	if lerr == nil && info.IsDir() && owned.Owner(info) == os.Geteuid() && info.Mode().Perm() == 0o700 {
		return dir, nil
	}
	if err == nil {
		err = lerr
	}
	return "", problem.Problem{
		What: fmt.Sprintf("%s has no folder for temporary files: %v", process.UserName(os.Geteuid()), err), At: dir,
		Fix: "give that user a home folder that it can write to, or make " + dir + " its own (mode 0700)",
	}
}

// probe writes and removes a file.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return err
	}
	defer f.Close()
	return os.Remove(f.Name())
}
