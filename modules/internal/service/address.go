package service

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/journal"
)

// Address is the base URL of the server, without a trailing slash. In this order:
// what the operator says; the socket on which a process of the server listens;
// the host and port of its command line, or of the unit's ExecStart; the address
// under which a run of ours has found it; CIDX's launch files, of which
// launch.json is written at the very first start and may name another port
// (facts 14.5); 127.0.0.1:8000. The error is a problem.Problem.
func (c Control) Address(ctx context.Context) (string, error) {
	if c.URL != "" {
		return cidxapi.Find(c.Common.Home, c.URL)
	}
	pids, lines := c.serverProcesses(ctx)
	var sockets []socket
	for _, pid := range pids {
		sockets = append(sockets, listening(pid)...)
	}
	if s, ok := c.choose(sockets, lines); ok {
		return cidxapi.Base(s.host, s.port), nil
	}
	for _, line := range lines {
		if s, ok := flagsOf(line); ok {
			return cidxapi.Base(s.host, s.port), nil
		}
	}
	if base := remembered(c.Common.State().Journal()); base != "" {
		return cidxapi.Find(c.Common.Home, base)
	}
	return cidxapi.Find(c.Common.Home, "")
}

// socket is a host and a port, on which somebody listens or should.
type socket struct {
	host string
	port int
}

// choose takes the only socket there is; of several the one that a command line
// or a launch file names, else the first.
func (c Control) choose(sockets []socket, lines []string) (socket, bool) {
	if len(sockets) == 0 {
		return socket{}, false
	}
	wanted := []int{}
	for _, line := range lines {
		if s, ok := flagsOf(line); ok {
			wanted = append(wanted, s.port)
		}
	}
	if base, err := cidxapi.Find(c.Common.Home, ""); err == nil {
		wanted = append(wanted, firstNumber(base[strings.LastIndexByte(base, ':')+1:]))
	}
	for _, port := range wanted {
		if i := slices.IndexFunc(sockets, func(s socket) bool { return s.port == port }); i >= 0 {
			return sockets[i], true
		}
	}
	return sockets[0], true
}

// serverProcesses are the ids of the server's processes, and the command lines
// that start it. Where its manager names no process, those count that have a
// database of the home open and look like CIDX.
func (c Control) serverProcesses(ctx context.Context) (pids []int, lines []string) {
	roots := map[int]bool{}
	if c.Manager == BySystemd {
		if units, err := c.Systemd().Show(ctx, c.Server()); err == nil && len(units) == 1 {
			lines = append(lines, units[0].Exec...)
			if units[0].PID > 1 {
				roots[units[0].PID] = true
			}
		}
	}
	if p, alive, err := PIDFile(c.Common.Home); err == nil && alive {
		roots[p.PID] = true
	}
	if len(roots) == 0 {
		files, _ := watched(c.Common.Home)
		holders, _, _ := Holders(Files(files), nil) // what cannot be seen is not found
		for _, h := range holders {
			if line := commandLine(h.PID); strings.Contains(line, "cidx") || strings.Contains(line, "code_indexer") || strings.Contains(line, "uvicorn") {
				roots[h.PID] = true
			}
		}
	}
	if len(roots) == 0 {
		return nil, lines
	}
	parents := parentsOf()
	for pid := range parents {
		if slices.ContainsFunc(lineage(pid, parents), func(p int) bool { return roots[p] }) {
			pids, lines = append(pids, pid), append(lines, commandLine(pid))
		}
	}
	slices.Sort(pids)
	return pids, lines
}

func commandLine(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended
	return strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
}

// flagsOf reads --host and --port of a command line, as uvicorn and CIDX's own
// command take them; ok is false where no port is named.
func flagsOf(line string) (s socket, ok bool) {
	words := strings.Fields(line)
	value := func(name string) string {
		for i, w := range words {
			if v, has := strings.CutPrefix(w, name+"="); has {
				return strings.Trim(v, `"'`)
			}
			if w == name && i+1 < len(words) {
				return strings.Trim(words[i+1], `"'`)
			}
		}
		return ""
	}
	port, err := strconv.ParseUint(value("--port"), 10, 16)
	if err != nil || port == 0 {
		return socket{}, false // none, or a variable
	}
	s.port = int(port)
	if host := value("--host"); !strings.ContainsAny(host, "${}") {
		s.host = host
	}
	return s, true
}

// listening are the TCP sockets on which a process listens.
func listening(pid int) []socket {
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
	var list []socket
	for _, table := range []string{"tcp", "tcp6"} {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table)) // a machine without IPv6 lacks the second
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			const state = "0A"
			if len(f) > 9 && f[3] == state && inodes[f[9]] {
				list = append(list, socket{hostOf(f[1]), portOf(f[1])})
			}
		}
	}
	return list
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

// remembered is the address under which cidx_verify has found the server last.
func remembered(book string) string {
	entries, err := journal.Read(book)
	if err != nil {
		return ""
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if base, ok := entries[i].Data["url"].(string); ok && entries[i].Module == "cidx_verify" {
			return base
		}
	}
	return ""
}
