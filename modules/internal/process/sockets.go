package process

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Socket is a host and a port, on which somebody listens.
type Socket struct {
	Host  string
	Port  int
	inode string
}

// Listener finds the process that listens on a TCP port of this machine. ok is
// false where nobody does; the name stays empty where we may not see who it is.
func Listener(port int) (p Process, ok bool) {
	inode := ""
	for _, s := range listeners("self") {
		if s.Port == port {
			inode = s.inode
		}
	}
	if inode == "" {
		return Process{}, false
	}
	ids, _ := All()
	for _, pid := range ids {
		if socketsOf(pid)[inode] {
			return Process{PID: pid, Name: nameOf(pid)}, true
		}
	}
	return Process{}, true
}

// Listening are the TCP sockets on which a process listens.
func Listening(pid int) []Socket {
	own := socketsOf(pid)
	return slices.DeleteFunc(listeners(strconv.Itoa(pid)), func(s Socket) bool { return !own[s.inode] })
}

// listeners are the TCP sockets on which somebody listens in the network of pid.
func listeners(pid string) (list []Socket) {
	for _, table := range []string{"tcp", "tcp6"} {
		raw, _ := os.ReadFile("/proc/" + pid + "/net/" + table) // a machine without IPv6 lacks the second
		for line := range strings.Lines(string(raw)) {
			const listening = "0A"
			if f := strings.Fields(line); len(f) > 9 && f[3] == listening {
				list = append(list, Socket{hostOf(f[1]), portOf(f[1]), f[9]})
			}
		}
	}
	return list
}

// socketsOf are the inodes of the sockets that a process has open.
func socketsOf(pid int) map[string]bool {
	inodes := map[string]bool{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir) // not ours to see
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				inodes[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return inodes
}

// hostOf reads the address of "0100007F:1F40": words of 32 bits in the order of
// this machine (proc(5)); amd64 and arm64 are little-endian.
func hostOf(address string) string {
	text, _, _ := strings.Cut(address, ":")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return ""
	}
	for i := 0; i+3 < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	return net.IP(raw).String()
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

// Local reports whether host is an address of this machine.
func Local(host string) bool {
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
