package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process names one process for ever: its id together with the kernel's start
// time, because ids are used again.
type Process struct {
	Pid   int    `json:"pid"`
	Start string `json:"start"`
}

// processOf identifies the process that has the id now; 0 is no process.
func processOf(pid int) (Process, error) {
	if pid == 0 {
		return Process{}, nil
	}
	start, err := startTime(pid)
	if err != nil {
		return Process{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return Process{Pid: pid, Start: start}, nil
}

// Alive tells whether this very process still runs. No process is not alive.
func (p Process) Alive() bool {
	if p.Pid == 0 {
		return false
	}
	start, err := startTime(p.Pid)
	return err == nil && start == p.Start
}

// runs tells whether the process runs one of these programs, itself or through an interpreter.
func (p Process) runs(programs ...string) bool {
	command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Pid), "cmdline"))
	return err == nil && slices.ContainsFunc(programs, func(name string) bool { return bytes.Contains(command, []byte(name+"\x00")) })
}

// startTime is field 22 of /proc/<pid>/stat; the second field, the program's
// name in parentheses, may itself hold blanks.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", fmt.Errorf("read /proc/%d/stat: not a process line", pid)
	}
	if fields[0] == "Z" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
}

// end asks with the signal, then kills; it returns when the process is gone.
func (p Process) end(sig syscall.Signal, patience time.Duration) error {
	for _, s := range []syscall.Signal{sig, syscall.SIGKILL} {
		if !p.Alive() {
			return nil
		}
		if err := syscall.Kill(p.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end process %d: %w", p.Pid, err)
		}
		for until := time.Now().Add(patience); p.Alive() && time.Now().Before(until); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if p.Alive() {
		return fmt.Errorf("end process %d: still there", p.Pid)
	}
	return nil
}
