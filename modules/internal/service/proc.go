package service

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// processes lists the ids of all processes but ourselves.
func processes() ([]int, error) {
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

func processName(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "process"
	}
	return strings.TrimSpace(string(raw))
}

// Holders finds the processes of all users that have one of files open, by its
// device and inode or by its path, or a file below one of folders open for
// writing. unseen counts the processes that we may not look into. What a process
// has open is looked at without asking a file server: a dead mount cannot block.
func Holders(files []File, folders []string) (holders []Process, unseen int, err error) {
	ids, err := processes()
	if err != nil {
		return nil, 0, err
	}
	w := watch{paths: map[string]bool{}, inodes: map[[2]uint64]string{}, folders: folders}
	for _, f := range files {
		w.paths[f.Path], w.paths[realPath(f.Path)] = true, true
		if f.Ino != 0 {
			w.inodes[[2]uint64{f.Dev, f.Ino}] = f.Path
		}
	}
	for _, pid := range ids {
		path, err := w.heldBy(pid)
		switch {
		case errors.Is(err, fs.ErrPermission):
			unseen++
		case path != "":
			holders = append(holders, Process{PID: pid, Name: processName(pid), Path: path})
		}
	}
	return holders, unseen, nil
}

// watch is what a process may not have open.
type watch struct {
	paths   map[string]bool
	inodes  map[[2]uint64]string // device and inode
	folders []string
}

// inode is the device and inode of a file; links are followed.
func inode(path string) (dev, ino uint64, ok bool) {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_TYPE, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, 0, false
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, true
}

// realPath resolves links in the folder of path, not path itself: it may be a
// link to the share.
func realPath(path string) string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// heldBy returns the first watched file that pid has open.
func (w watch) heldBy(pid int) (string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		fd := filepath.Join(dir, e.Name())
		path, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(path, "/") {
			continue
		}
		path = strings.TrimSuffix(path, " (deleted)")
		if w.paths[path] {
			return path, nil
		}
		if dev, ino, ok := inode(fd); ok && w.inodes[[2]uint64{dev, ino}] != "" {
			return w.inodes[[2]uint64{dev, ino}], nil
		}
		for _, folder := range w.folders {
			if strings.HasPrefix(path, folder+"/") && writes(pid, e.Name()) {
				return path, nil
			}
		}
	}
	return "", nil
}

// writes reports whether a descriptor is open for writing (proc(5): flags of
// fdinfo, octal).
func writes(pid int, fd string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseInt(strings.TrimSpace(value), 8, 64)
			return err == nil && flags&int64(syscall.O_ACCMODE) != syscall.O_RDONLY
		}
	}
	return false
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
	return Process{PID: pid, Name: processName(pid), Path: path}, true, nil
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
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid <= 0 {
		return time.Time{}, false
	}
	// Fields after the name, which may hold anything: state is the 3rd field,
	// the start time in ticks of 1/100 s since boot the 22nd (proc(5)).
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return time.Time{}, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return bootTime().Add(time.Duration(ticks) * 10 * time.Millisecond), true
}

func bootTime() time.Time {
	raw, _ := os.ReadFile("/proc/stat") // without it every process is old
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Time{}
}

// Listener finds the process that listens on a TCP port of this machine. ok is
// false where nobody does; the name stays empty where we may not see who it is.
func Listener(port int) (p Process, ok bool) {
	inode := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, _ := os.ReadFile(table) // a machine without IPv6 lacks the second
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) > 9 && f[3] == listening && portOf(f[1]) == port {
				inode = f[9]
			}
		}
	}
	if inode == "" {
		return Process{}, false
	}
	ids, _ := processes()
	for _, pid := range ids {
		if hasSocket(pid, "socket:["+inode+"]") {
			return Process{PID: pid, Name: processName(pid)}, true
		}
	}
	return Process{}, true
}

func hasSocket(pid int, name string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir) // not ours to see
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == name {
			return true
		}
	}
	return false
}

// portOf reads "0100007F:1F40".
func portOf(address string) int {
	_, text, _ := strings.Cut(address, ":")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 2 {
		return 0
	}
	return int(raw[0])<<8 | int(raw[1])
}

// local reports whether host is an address of this machine.
func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false
	}
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
