// Package procs watches which user the migration's processes run as, in /proc of
// this machine, which also shows those of its containers.
package procs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// interval between two samples; a process that lives shorter may be missed.
const interval = 100 * time.Millisecond

// Watch samples until stop is called. stop returns one line for each program of
// the migration (helper, rsync, git) that ran as root while it had its working
// folder or an open file in one of the folders, as the program itself sees their
// paths, and how many programs of other users it saw there.
func Watch(ctx context.Context, folders ...string) (stop func() (byRoot []string, others int)) {
	w := watch{folders: folders, others: map[int]bool{}}
	end := Sample(ctx, interval, w.see)
	return func() ([]string, int) {
		end()
		return w.byRoot, len(w.others)
	}
}

// Sample calls look with every process that there is, again and again, until stop
// is called; look is not called any more when stop returns.
func Sample(ctx context.Context, every time.Duration, look func(pid int)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ctx.Err() == nil {
			each(look)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func each(look func(pid int)) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			look(pid)
		}
	}
}

type watch struct {
	folders []string
	byRoot  []string
	others  map[int]bool // pids
}

func (w *watch) see(pid int) {
	program, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if name := strings.TrimSpace(string(program)); name == "rsync" || strings.HasPrefix(name, "git") || strings.HasPrefix(name, "cidx-helper") {
		w.look(pid, name)
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
