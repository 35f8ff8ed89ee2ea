package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// traced is the command line that writes the calls of a program and its
// descendants to a file, with what they do to users, processes and paths.
func traced(file string, words []string) ([]string, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, errors.New("strace is not installed")
	}
	// A server that an earlier run has started is still traced into that file.
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	const calls = "setuid,setreuid,setresuid,clone,clone3,fork,vfork,execve,open,openat,openat2,creat,rename,renameat,renameat2,chmod,fchmod,fchmodat,chown,lchown,fchown,fchownat," +
		"unlink,unlinkat,mkdir,mkdirat,symlink,symlinkat,link,linkat,mknod,mknodat,truncate"
	return append([]string{"strace", "-D", "-f", "-qq", "-y", "-s", "400", "--seccomp-bpf", "-e", "trace=" + calls, "-o", file}, words...), nil
}

// byroot looks through $WORK/trace: below the home and the share no process of
// uid 0 may have opened, made, renamed, changed or removed anything, and none may
// have started rsync or git.
func (st *stage) byroot(c *call) error {
	t, err := readTrace(filepath.Join(st.work, "trace"))
	if err != nil {
		return err
	}
	touches, seen := 0, 0
	for i, line := range t.lines {
		uid := t.uidAt(line.pid, i)
		ours := strings.Contains(line.text, st.box.Home) || strings.Contains(line.text, st.box.Share)
		program := toolRun.MatchString(line.text)
		if (ours || program) && line.changes() {
			if seen++; uid == 0 {
				touches++
				fmt.Fprintf(c.out, "by root: %d %s\n", line.pid, line.text)
			}
		}
	}
	c.ts.Logf("%d calls looked at", seen)
	switch {
	case seen == 0:
		return errors.New("the trace shows no call at all below the home or the share")
	case touches > 0:
		return fmt.Errorf("%d calls by root", touches)
	}
	return nil
}

var (
	traceLine  = regexp.MustCompile(`^(\d+) +(.*)$`)
	toolRun    = regexp.MustCompile(`^execve\("[^"]*/(rsync|git)"`)
	becomes    = regexp.MustCompile(`^(?:setuid|setreuid|setresuid)\((?:-?\d+, )?(\d+).*(?:\) += 0|<unfinished \.\.\.>)$`)
	unfinished = regexp.MustCompile(`^(?:clone3?|v?fork)\(.*<unfinished \.\.\.>$`)
	made       = regexp.MustCompile(`^(?:<\.\.\. )?(?:clone3?|v?fork)\b.* = (\d+)(?:<[^>]*>)?$`)
)

type traceEntry struct {
	pid  int
	text string
}

// changes leaves out what only starts a program or a process.
func (e traceEntry) changes() bool {
	for _, prefix := range []string{"set", "clone", "fork", "vfork", "<...", "+++", "---"} {
		if strings.HasPrefix(e.text, prefix) {
			return false
		}
	}
	return toolRun.MatchString(e.text) || !strings.HasPrefix(e.text, "execve")
}

// trace knows the user of every process at every line.
type trace struct {
	lines   []traceEntry
	users   map[int][][2]int // pid: line and uid from there on
	parents map[int][2]int   // pid: parent, and the line at which it was made
}

func readTrace(path string) (*trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &trace{users: map[int][][2]int{}, parents: map[int][2]int{}}
	begun := map[int]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), 64<<20)
	for lines.Scan() {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		pid, _ := strconv.Atoi(m[1])
		at := len(t.lines)
		t.lines = append(t.lines, traceEntry{pid, m[2]})
		if unfinished.MatchString(m[2]) {
			begun[pid] = at
		}
		if u := becomes.FindStringSubmatch(m[2]); u != nil {
			uid, _ := strconv.Atoi(u[1])
			t.users[pid] = append(t.users[pid], [2]int{at, uid})
		}
		if c := made.FindStringSubmatch(m[2]); c != nil {
			child, _ := strconv.Atoi(c[1])
			from := at
			if strings.Contains(m[2], "resumed>") {
				from = begun[pid]
			}
			t.parents[child] = [2]int{pid, from}
		}
	}
	return t, lines.Err()
}

// uidAt is the user of a process at a line; the first one is root.
func (t *trace) uidAt(pid, line int) int {
	uid, found := 0, false
	for _, u := range t.users[pid] {
		if u[0] < line {
			uid, found = u[1], true
		}
	}
	if p, ok := t.parents[pid]; !found && ok && p[0] != pid {
		return t.uidAt(p[0], p[1])
	}
	return uid
}
