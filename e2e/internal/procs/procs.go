// Package procs watches which user the migration's processes run as, in /proc of
// this machine, which also shows those of its containers.
package procs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// interval between two samples; a process that lives shorter may be missed.
const interval = 20 * time.Millisecond

// Watch samples until stop is called. stop returns one line for each program of
// the migration (helper, rsync, git) that ran as root while it had its working
// folder or an open file in one of the folders, as the program itself sees their
// paths, and how many programs of other users it saw there.
func Watch(ctx context.Context, folders ...string) (stop func() (byRoot []string, others int)) {
	ctx, cancel := context.WithCancel(ctx)
	w := watch{folders: folders, others: map[int]bool{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for ctx.Err() == nil {
			w.sample()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() ([]string, int) {
		cancel()
		<-done
		return w.byRoot, len(w.others)
	}
}

type watch struct {
	folders []string
	byRoot  []string
	others  map[int]bool // pids
}

func (w *watch) sample() {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		program, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if name := strings.TrimSpace(string(program)); name == "rsync" || strings.HasPrefix(name, "git") || strings.HasPrefix(name, "cidx-helper") {
			w.look(pid, name)
		}
	}
}

// look notes a process that has something open in one of the folders.
func (w *watch) look(pid int, program string) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	links := []string{dir + "cwd"}
	open, _ := os.ReadDir(dir + "fd")
	for _, fd := range open {
		links = append(links, dir+"fd/"+fd.Name())
	}
	for _, link := range links {
		path, err := os.Readlink(link)
		if err != nil || !slices.ContainsFunc(w.folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") }) {
			continue
		}
		switch line := fmt.Sprintf("%s has %s open", program, path); {
		case !ofRoot(dir + "status"):
			w.others[pid] = true
		case !slices.Contains(w.byRoot, line):
			w.byRoot = append(w.byRoot, line)
		}
		return
	}
}

// ofRoot reports whether one of the four user ids of a process is 0.
func ofRoot(status string) bool {
	text, _ := os.ReadFile(status)
	for line := range strings.Lines(string(text)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			return slices.Contains(strings.Fields(ids), "0")
		}
	}
	return false // it has ended meanwhile
}
