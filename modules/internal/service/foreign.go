package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/process"
)

// Foreign finds the processes that hold a database of the server, or write below
// its repositories, and are neither the server's nor ours: a cron job, a person
// with sqlite3, a backup. The stop would wait for them, and then refuse. unseen
// counts the processes of other users that we may not look into. Where the server
// runs and its process is not found, nothing can be told apart and the list is empty.
func (c Control) Foreign(ctx context.Context) (list []process.Process, unseen int, err error) {
	signs, err := readSigns.Run(ctx, c.signs())
	if err != nil {
		return nil, 0, err
	}
	holders, unseen, err := process.Holders(signs.Files, signs.Folders)
	if err != nil || len(holders) == 0 {
		return nil, unseen, err
	}
	parents := process.Parents()
	server, known := c.roots(ctx, signs)
	if !known {
		return nil, unseen, nil
	}
	ours := process.Lineage(os.Getpid(), parents)
	for _, p := range holders {
		line := process.Lineage(p.PID, parents)
		related := slices.ContainsFunc(line, func(pid int) bool { return server[pid] || pid == os.Getpid() })
		if related || slices.Contains(ours, p.PID) || c.inUnit(p.PID) {
			continue
		}
		list = append(list, p)
	}
	return list, unseen, nil
}

// ForeignWarnings says what was found, one line a process.
func ForeignWarnings(list []process.Process) []string {
	var lines []string
	for _, p := range list {
		lines = append(lines, fmt.Sprintf("%s of user %s has %s open and is not the server: "+
			"after the stop the run waits 10 s for it, and then ends; let it finish, or end it before", p, p.Owner(), p.Path))
	}
	return lines
}

// roots are the processes from which the server's others descend. known is false
// where it runs and none was found.
func (c Control) roots(ctx context.Context, signs Signs) (roots map[int]bool, known bool) {
	roots = map[int]bool{}
	state, err := c.Status(ctx)
	if err != nil {
		return nil, false
	}
	if state.PID > 1 {
		roots[state.PID] = true
	}
	if signs.Process.PID != 0 {
		roots[signs.Process.PID] = true
	}
	if p, ok := process.Listener(signs.Port); ok && p.PID > 1 { // 1: systemd's own socket
		roots[p.PID] = true
	}
	return roots, len(roots) > 0 || state.Stopped
}

// inUnit reports whether systemd counts a process to the server's unit: a child
// that outlived its parent has no other mark.
func (c Control) inUnit(pid int) bool {
	if c.Manager != BySystemd {
		return false
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(raw)+"\n", "/"+c.Server()+"\n")
}

// watched are the databases of a home, and the folders of its repositories.
func watched(home string) (files, folders []string) {
	for _, d := range cidx.DatabaseFiles() {
		path := filepath.Join(home, d.Path)
		files = append(files, path, path+"-wal", path+"-shm", path+"-journal")
	}
	for _, name := range []string{"data/golden-repos", "data/activated-repos", "golden-repos", ".versioned"} {
		folders = append(folders, filepath.Join(home, name))
	}
	return files, folders
}

// DatabasesRest refuses while a process has a database of the home open; fix is the
// way on.
func DatabasesRest(home, fix string) error {
	files, _ := watched(home)
	holders, _, err := process.Holders(process.Files(files), nil)
	if err != nil {
		return err
	}
	var problems problem.List
	for _, p := range holders {
		problems = append(problems, problem.Problem{What: "open in " + p.String(), At: p.Path, Fix: fix})
	}
	return problems.Err()
}
