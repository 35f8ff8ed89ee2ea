package standin

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tidwall/gjson"
)

// ErrRunning means that another server holds this home.
var ErrRunning = errors.New("a server already runs in this home")

// Linux's open-file-description locks, which package syscall does not name.
const (
	ofdGetLock = 36
	ofdSetLock = 37
)

// pidFile is <home>/server.pid. Its lock, not its text, says whether a server runs: a killed one leaves the text.
type pidFile struct {
	path string
	file *os.File
}

func lockPid(home string) (*pidFile, error) {
	p := &pidFile{path: filepath.Join(home, "server.pid")}
	file, err := os.OpenFile(p.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock server.pid: %w", err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(file.Fd(), ofdSetLock, &lock); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock server.pid: %w", ErrRunning)
	}
	if mine, now := statOf(file), statAt(p.path); now == nil || !os.SameFile(mine, now) {
		_ = file.Close() // the server that held it removed it just now
		return lockPid(home)
	}
	p.file = file
	_ = file.Truncate(0)
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("write server.pid: %w", err)
	}
	return p, nil
}

func statOf(file *os.File) os.FileInfo {
	info, _ := file.Stat()
	return info
}

func statAt(path string) os.FileInfo {
	info, _ := os.Lstat(path)
	return info
}

func (p *pidFile) release() {
	_ = os.Remove(p.path)
	_ = p.file.Close()
}

// runningPid returns the process that holds a home, or 0.
func runningPid(home string) int {
	file, err := os.OpenFile(filepath.Join(home, "server.pid"), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK} // asks only: a lock taken here could refuse a start
	if err := syscall.FcntlFlock(file.Fd(), ofdGetLock, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return 0
	}
	raw := make([]byte, 32)
	n, _ := file.Read(raw)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw[:n])))
	return pid
}

// listenAddress is what -listen says, else applied_launch.json, else launch.json, else CIDX's default.
func listenAddress(home, flag string) string {
	if flag != "" {
		return flag
	}
	for _, name := range []string{"applied_launch.json", "launch.json"} {
		raw, err := os.ReadFile(filepath.Join(home, name))
		if err != nil || !gjson.ValidBytes(raw) {
			continue
		}
		host, port := gjson.GetBytes(raw, "host").String(), gjson.GetBytes(raw, "port").Int()
		if port > 0 {
			if host == "" {
				host = "127.0.0.1"
			}
			return net.JoinHostPort(host, strconv.FormatInt(port, 10))
		}
	}
	return "127.0.0.1:8000"
}

func owner(info os.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return os.Getuid(), os.Getgid()
}
