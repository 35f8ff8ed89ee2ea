package standin

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	stopPatience = 20 * time.Second // before SIGKILL
	stopPoll     = 20 * time.Millisecond
)

// control is the service manager of machines without one: start, stop, kill and status with LSB exit codes.
func control(verb string, args []string, stdout, stderr io.Writer) error {
	opt, wait, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	switch verb {
	case "start":
		return controlStart(opt.Home, args, wait, stdout)
	case "stop":
		return controlStop(opt.Home, syscall.SIGTERM, stdout)
	case "kill":
		return controlStop(opt.Home, syscall.SIGKILL, stdout)
	case "status":
		if pid := runningPid(opt.Home); pid > 0 {
			_, _ = fmt.Fprintf(stdout, "running, pid %d\n", pid)
			return nil
		}
		_, _ = fmt.Fprintln(stdout, "stopped")
		return exitCode(3)
	}
	return fmt.Errorf("ctl: unknown verb %q", verb)
}

// controlStart starts the server in its own session, its output appended to <home>/logs/server.log, and returns when
// the port is bound or the process has ended.
func controlStart(home string, args []string, wait time.Duration, stdout io.Writer) error {
	if pid := runningPid(home); pid > 0 {
		_, _ = fmt.Fprintf(stdout, "already running, pid %d\n", pid)
		return nil
	}
	logFile, err := openLog(home)
	if err != nil {
		return err
	}
	defer func() { _ = logFile.Close() }()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	defer func() { _ = ready.Close() }()
	cmd := exec.Command(self, append(append([]string{}, args...), "-ready-fd", "3")...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = logFile, logFile, []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	_ = ready.SetReadDeadline(time.Now().Add(wait))
	line, err := bufio.NewReader(ready).ReadString('\n')
	if address, ok := strings.CutPrefix(line, "ok "); ok && err == nil {
		_, _ = fmt.Fprintf(stdout, "started, pid %d, %s\n", cmd.Process.Pid, strings.TrimSpace(address))
		return cmd.Process.Release()
	}
	if os.IsTimeout(err) {
		return fmt.Errorf("start server: port not bound after %s; pid %d goes on, see %s", wait, cmd.Process.Pid, logFile.Name())
	}
	_ = cmd.Wait()
	return fmt.Errorf("start server: it ended at once: %s", lastLine(logFile.Name()))
}

// controlStop sends a signal, waits until the home is free, and kills after 20 s.
func controlStop(home string, how syscall.Signal, stdout io.Writer) error {
	pid := runningPid(home)
	if pid == 0 {
		_, _ = fmt.Fprintln(stdout, "stopped")
		return nil
	}
	if err := syscall.Kill(pid, how); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("stop server: %w", err)
	}
	kill := time.Now().Add(stopPatience)
	for giveUp := kill.Add(5 * time.Second); runningPid(home) == pid; time.Sleep(stopPoll) {
		if time.Now().After(giveUp) {
			return fmt.Errorf("stop server: pid %d survives SIGKILL", pid)
		}
		if time.Now().After(kill) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_, _ = fmt.Fprintf(stdout, "stopped, pid %d\n", pid)
	return nil
}

func openLog(home string) (*os.File, error) {
	path := filepath.Join(home, "logs", "server.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}

func lastLine(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return lines[len(lines)-1]
}
