package service

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidx"
)

// Foreign finds the processes that hold a database of the server, or write below
// its repositories, and are neither the server's nor ours: a cron job, a person
// with sqlite3, a backup. The stop would wait for them, and then refuse. unseen
// counts the processes of other users that we may not look into. Where the server
// runs and its process is not found, nothing can be told apart and the list is empty.
func (c Control) Foreign(ctx context.Context) (list []Process, unseen int, err error) {
	signs, err := readSigns.Run(ctx, c.signs())
	if err != nil {
		return nil, 0, err
	}
	holders, unseen, err := Holders(signs.Files, signs.Folders)
	if err != nil || len(holders) == 0 {
		return nil, unseen, err
	}
	parents := parentsOf()
	server, known := c.roots(ctx, signs)
	if !known {
		return nil, unseen, nil
	}
	ours := lineage(os.Getpid(), parents)
	for _, p := range holders {
		line := lineage(p.PID, parents)
		if slices.ContainsFunc(line, func(pid int) bool { return server[pid] || pid == os.Getpid() }) || slices.Contains(ours, p.PID) || c.inUnit(p.PID) {
			continue
		}
		list = append(list, p)
	}
	return list, unseen, nil
}

// ForeignWarnings says what was found, one line a process.
func ForeignWarnings(list []Process) []string {
	var lines []string
	for _, p := range list {
		lines = append(lines, fmt.Sprintf("%s of user %s has %s open and is not the server: after the stop the run waits 10 s for it, and then ends; let it finish, or end it before", p, p.Owner(), p.Path))
	}
	return lines
}

// Owner is the login of the user whose process it is.
func (p Process) Owner() string {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d", p.PID), &st) != nil {
		return "unknown"
	}
	id := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
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
	if p, ok := Listener(signs.Port); ok && p.PID > 1 { // 1: systemd's own socket
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

// parentsOf maps every process to its parent.
func parentsOf() map[int]int {
	parents := map[int]int{}
	ids, _ := processes() // without /proc nothing holds a file, either
	for _, pid := range append(ids, os.Getpid()) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// After the name, which may hold anything: the state, then the parent (proc(5)).
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) > 1 {
			parents[pid] = firstNumber(fields[1])
		}
	}
	return parents
}

// lineage is a process, its parent, and so on, without the first process.
func lineage(pid int, parents map[int]int) []int {
	var line []int
	for ; pid > 1 && len(line) < 1000; pid = parents[pid] {
		line = append(line, pid)
	}
	return line
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
