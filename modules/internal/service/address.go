package service

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/process"
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
	var sockets []process.Socket
	for _, pid := range pids {
		sockets = append(sockets, process.Listening(pid)...)
	}
	if s, ok := c.choose(sockets, lines); ok {
		return cidxapi.Base(s.Host, s.Port), nil
	}
	for _, line := range lines {
		if s, ok := flagsOf(line); ok {
			return cidxapi.Base(s.Host, s.Port), nil
		}
	}
	if base := remembered(c.Common.State().Journal()); base != "" {
		return cidxapi.Find(c.Common.Home, base)
	}
	return cidxapi.Find(c.Common.Home, "")
}

// choose takes the only socket there is; of several the one that a command line
// or a launch file names, else the first.
func (c Control) choose(sockets []process.Socket, lines []string) (process.Socket, bool) {
	if len(sockets) == 0 {
		return process.Socket{}, false
	}
	wanted := []int{}
	for _, line := range lines {
		if s, ok := flagsOf(line); ok {
			wanted = append(wanted, s.Port)
		}
	}
	if base, err := cidxapi.Find(c.Common.Home, ""); err == nil {
		port, _ := strconv.Atoi(base[strings.LastIndexByte(base, ':')+1:])
		wanted = append(wanted, port)
	}
	for _, port := range wanted {
		if i := slices.IndexFunc(sockets, func(s process.Socket) bool { return s.Port == port }); i >= 0 {
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
	if p, alive, err := process.PIDFile(c.Common.Home); err == nil && alive {
		roots[p.PID] = true
	}
	if len(roots) == 0 {
		files, _ := watched(c.Common.Home)
		holders, _, _ := process.Holders(process.Files(files), nil) // what cannot be seen is not found
		for _, h := range holders {
			line := process.CommandLine(h.PID)
			if strings.Contains(line, "cidx") || strings.Contains(line, "code_indexer") || strings.Contains(line, "uvicorn") {
				roots[h.PID] = true
			}
		}
	}
	if len(roots) == 0 {
		return nil, lines
	}
	parents := process.Parents()
	for pid := range parents {
		if slices.ContainsFunc(process.Lineage(pid, parents), func(p int) bool { return roots[p] }) {
			pids, lines = append(pids, pid), append(lines, process.CommandLine(pid))
		}
	}
	slices.Sort(pids)
	return pids, lines
}

// flagsOf reads --host and --port of a command line, as uvicorn and CIDX's own
// command take them; ok is false where no port is named.
func flagsOf(line string) (s process.Socket, ok bool) {
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
		return process.Socket{}, false // none, or a variable
	}
	s.Port = int(port)
	if host := value("--host"); !strings.ContainsAny(host, "${}") {
		s.Host = host
	}
	return s, true
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
