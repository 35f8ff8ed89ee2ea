// Package process looks at the processes of this machine through /proc (proc(5)):
// who has a file open, who listens on a port, who descends from whom. It needs no
// right but sees with none only its own user's.
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process that stands in the way.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"` // comm
	Path string `json:"path"` // the file it holds; "" where it is something else
}

func (p Process) String() string { return fmt.Sprintf("%s (pid %d)", p.Name, p.PID) }

// All lists the ids of all processes but ourselves.
func All() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var ids []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil && id != os.Getpid() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func nameOf(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "process"
	}
	return strings.TrimSpace(string(raw))
}

// PIDFile returns the living process that <home>/server.pid names. A CIDX
// server that was started by its command line leaves that file, and a killed
// one does not remove it: a process that is younger than the file is another
// one that got the same number.
func PIDFile(home string) (Process, bool, error) {
	path := filepath.Join(home, "server.pid")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Process{}, false, nil
	}
	if err != nil {
		return Process{}, false, fmt.Errorf("read server.pid: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Process{}, false, fmt.Errorf("read server.pid: %w", err)
	}
	pid := firstNumber(string(raw))
	started, alive := startOf(pid)
	if !alive || started.After(info.ModTime().Add(5*time.Second)) {
		return Process{}, false, nil
	}
	return Process{PID: pid, Name: nameOf(pid), Path: path}, true, nil
}

// firstNumber reads the id out of a plain number or a JSON object.
func firstNumber(text string) int {
	from := strings.IndexAny(text, "0123456789")
	if from < 0 {
		return 0
	}
	to := from
	for to < len(text) && text[to] >= '0' && text[to] <= '9' {
		to++
	}
	n, _ := strconv.Atoi(text[from:to])
	return n
}

// startOf returns when a process started; false if there is none, or a zombie.
func startOf(pid int) (time.Time, bool) {
	fields := statOf(pid) // the start time, in ticks of 1/100 s since boot, is the 22nd
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return time.Time{}, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return bootTime().Add(time.Duration(ticks) * 10 * time.Millisecond), true
}

// statOf are the fields of a process after its name, which may hold anything: its
// state, the third, and on; none where there is no such process.
func statOf(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
}

func bootTime() time.Time {
	n, err := strconv.ParseInt(valueOf("/proc/stat", "btime "), 10, 64)
	if err != nil {
		return time.Time{} // then every process is old
	}
	return time.Unix(n, 0)
}

// valueOf is what follows a word with which a line of a file begins; "" where none does.
func valueOf(path, word string) string {
	raw, _ := os.ReadFile(path)
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, word); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Owner is the login of the user whose process it is.
func (p Process) Owner() string {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d", p.PID), &st) != nil {
		return "unknown"
	}
	return UserName(int(st.Uid))
}

// UserName is the login of a user, else the number.
func UserName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

// Parents maps every process to its parent.
func Parents() map[int]int {
	parents := map[int]int{}
	ids, _ := All() // without /proc nothing holds a file, either
	for _, pid := range append(ids, os.Getpid()) {
		if fields := statOf(pid); len(fields) > 1 {
			parents[pid] = firstNumber(fields[1])
		}
	}
	return parents
}

// Lineage is a process, its parent, and so on, without the first process.
func Lineage(pid int, parents map[int]int) []int {
	var line []int
	for ; pid > 1 && len(line) < 1000; pid = parents[pid] {
		line = append(line, pid)
	}
	return line
}

// CommandLine is what a process was started with, in one line.
func CommandLine(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
	return strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
}
