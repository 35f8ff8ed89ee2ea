package job

import (
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/process"
	"cidx-cluster/modules/internal/scratch"
)

// Who is at work on a home, by its lease: user@controller; where there is no
// lease, the user of this process.
func Who(state string) string {
	if l, ok, err := readLease(filepath.Join(state, "lease")); ok && err == nil && l.User != "" {
		return l.User + "@" + l.Controller
	}
	host, _ := os.Hostname() // "" says as much as an error would
	return process.UserName(os.Geteuid()) + "@" + host
}

// Caches are the folders that rehearsals of a home have left in the helper's
// folder, where the process knows it.
func Caches(home string) (list []string) {
	s := Store{dir: os.Getenv(scratch.HelperFolder)}
	if s.dir == "" {
		return nil
	}
	for _, path := range []string{s.home(home, "lists"), filepath.Join(s.dir, "rehearsal")} {
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			list = append(list, path)
		}
	}
	return list
}
