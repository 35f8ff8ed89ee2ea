package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mark is the environment variable that all processes of a lab carry.
const mark = "CIDX_LAB="

// owned lists the machine's processes that carry the mark of the lab in dir.
func owned(dir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	want := []byte(mark + dir + "\x00")
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(append(environment, 0), want) {
			found = append(found, pid)
		}
	}
	return found, nil
}

// killOwned kills what carries the mark of dir until nothing is left.
func killOwned(dir string) error {
	for until := time.Now().Add(20 * time.Second); ; {
		found, err := owned(dir)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, pid := range found {
			for _, child := range children(pid) { // a container's first process has an environment of its own
				if commandOf(child) != "" && strings.Contains(commandOf(pid), "systemd-nspawn") {
					kill(child)
				}
			}
			kill(pid)
		}
		if time.Now().After(until) {
			return fmt.Errorf("end processes of %s: %d are still there", dir, len(found))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) } // gone already is fine

// children lists the direct children of a process.
func children(pid int) []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var found []int
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// commandOf is the command line of a process with blanks between its words.
func commandOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(bytes.ReplaceAll(bytes.TrimRight(text, "\x00"), []byte{0}, []byte{' '}))
}

func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// await asks until it holds, or patience ends.
func await(what string, patience time.Duration, holds func() error) error {
	until := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// said runs a command and returns its output; what it printed is part of the error.
func said(cmd *exec.Cmd) (string, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		name := cmd.Args[0]
		err = fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(tail(append(out.Bytes(), errs.Bytes()...), 2000)))
	}
	return out.String(), err
}

// exitCode of a finished command; an error where it was not an exit.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	}
	return 0, err
}
