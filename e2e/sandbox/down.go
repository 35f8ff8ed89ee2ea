package sandbox

import (
	"bytes"
	"context"
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

// Down ends every process and mount of the sandbox and removes its folder. It
// may be called again, and on a sandbox that Up did not finish.
func (s *Sandbox) Down() error {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	errs := []error{s.endProcesses(), s.Postgres.Crash(ctx), s.Unmount()}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take sandbox %s down: %w", s.Dir, err)
	}
	if err := removeAll(s.Dir); err != nil {
		return fmt.Errorf("remove sandbox: %w", err)
	}
	return nil
}

// endProcesses ends what belongs to this sandbox alone: the stand-in, the
// helper's jobs and their children, and a controller whose test was killed. Each names the sandbox's
// folder in its command line or environment, and nothing else does.
func (s *Sandbox) endProcesses() error {
	found, err := s.processes()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range found {
		errs = append(errs, p.end(syscall.SIGTERM, 5*time.Second))
	}
	return errors.Join(errs...)
}

// processes finds them by program name and folder.
func (s *Sandbox) processes() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !s.owns(pid) {
			continue
		}
		if p, err := processOf(pid); err == nil {
			found = append(found, p)
		}
	}
	return found, nil
}

func (s *Sandbox) owns(pid int) bool {
	command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || len(command) == 0 {
		return false
	}
	words := strings.Split(string(command), "\x00")
	name := filepath.Base(words[0])
	switch name {
	case "cidx-standin":
		return slices.Contains(words, s.Home)
	case "cidx-share":
		return slices.Contains(words, s.Share)
	}
	ours := strings.HasPrefix(name, "h-") || name == "rsync" || name == "git" ||
		len(words) > 1 && filepath.Base(words[1]) == "ansible-playbook"
	if !ours {
		return false
	}
	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(environment, []byte("CIDX_SANDBOX="+s.Dir+"\x00"))
}

// removeAll also removes folders that a scenario made unwritable.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	walkErr := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return errors.Join(walkErr, os.RemoveAll(dir))
}

// Base is the folder below which tests and the demo put their sandboxes, each
// user's own. It is short and outside the checkout: PostgreSQL's account must
// be able to enter it.
func Base() string {
	return filepath.Join(os.TempDir(), "cidx-sandbox-"+strconv.Itoa(os.Getuid()))
}

// New makes an empty folder for a sandbox below Base.
func New() (string, error) {
	if err := os.MkdirAll(Base(), 0o755); err != nil {
		return "", fmt.Errorf("make sandbox folder: %w", err)
	}
	dir, err := os.MkdirTemp(Base(), "")
	if err != nil {
		return "", fmt.Errorf("make sandbox folder: %w", err)
	}
	return dir, os.Chmod(dir, 0o755)
}

// Sweep takes down the sandboxes below Base whose owner was killed.
func Sweep() error {
	found, err := filepath.Glob(filepath.Join(Base(), "*", "sandbox.json"))
	if err != nil {
		return fmt.Errorf("find old sandboxes: %w", err)
	}
	var errs []error
	for _, path := range found {
		s, err := Load(filepath.Dir(path))
		if errors.Is(err, os.ErrNotExist) { // taken down meanwhile
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if s.Owner.Pid != 0 && !s.Owner.Alive() {
			errs = append(errs, s.Down())
		}
	}
	return errors.Join(errs...)
}

// KillJobs kills the helper's processes with signal 9, as a power cut would.
func (s *Sandbox) KillJobs() error {
	found, err := s.processes()
	if err != nil {
		return err
	}
	for _, p := range found {
		if p.runs("cidx-standin", "cidx-share", "ansible-playbook") {
			continue
		}
		if err := syscall.Kill(p.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill helper: %w", err)
		}
	}
	return nil
}
