package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/e2e/internal/transcript"
)

// writeController leaves what the operator has on the controller: the secret
// for the API in a file, and the nodes' host keys. The inventory is
// inventory/lab of the checkout, which finds all of it by $CIDX_LAB_DIR.
func (l *Lab) writeController() error {
	if err := os.WriteFile(filepath.Join(l.Dir, "api_key"), []byte(l.Facts.Admin.APIKey+"\n"), 0o600); err != nil {
		return fmt.Errorf("write controller: %w", err)
	}
	var known strings.Builder
	keys, err := filepath.Glob(filepath.Join(l.root, "etc/ssh/ssh_host_*_key.pub"))
	if err != nil || len(keys) == 0 {
		return errors.New("write controller: the nodes have no SSH host keys")
	}
	for _, path := range keys {
		key, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("write controller: %w", err)
		}
		for _, n := range []*Node{l.Node1, l.Node2} {
			fmt.Fprintf(&known, "%s %s\n", n.Addr(), bytes.TrimSpace(key))
		}
	}
	if err := os.WriteFile(filepath.Join(l.Dir, "known_hosts"), []byte(known.String()), 0o644); err != nil {
		return fmt.Errorf("write controller: %w", err)
	}
	return nil
}

// Controller is a place from which playbooks are started: a home of its own, as
// each operator has.
type Controller struct {
	lab  *Lab
	dir  string
	Env  []string // further variables
	Bin  string   // folder of another ansible-playbook; "" takes the one on the PATH
	Keep []byte   // all that was printed so far, by every run
}

// Controller makes one; names keep several apart.
func (l *Lab) Controller(name string) (*Controller, error) {
	c := &Controller{lab: l, dir: filepath.Join(l.Dir, "c", name)}
	if err := os.RemoveAll(c.dir); err != nil {
		return nil, fmt.Errorf("make controller: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make controller: %w", err)
	}
	return c, nil
}

// Environ is the environment of the operator's shell.
func (c *Controller) Environ() []string {
	env := append(os.Environ(), c.lab.mark(), "HOME="+c.dir, "ANSIBLE_INVENTORY="+filepath.Join(c.lab.repo, "inventory", "lab"),
		"CIDX_LAB_DIR="+c.lab.Dir, "CIDX_LAB_NODE1="+c.lab.Node1.Addr(), "CIDX_LAB_NODE2="+c.lab.Node2.Addr(), "CIDX_LAB_REPORTS="+c.Reports(),
		"ANSIBLE_NOCOLOR=1", "ANSIBLE_FORCE_COLOR=0", "PYTHONDONTWRITEBYTECODE=1", "PYTHONFAULTHANDLER=1", "ANSIBLE_SSH_CONTROL_PATH_DIR="+filepath.Join(c.dir, "cp"))
	if c.Bin != "" {
		env = append(env, "PATH="+c.Bin+":"+os.Getenv("PATH"))
	}
	return append(env, c.Env...)
}

// WriteShell leaves the same for a shell that sources the file.
func (c *Controller) WriteShell(path string) error {
	known := map[string]bool{}
	for _, pair := range os.Environ() {
		known[pair] = true
	}
	var text strings.Builder
	for _, pair := range c.Environ() {
		if name, value, _ := strings.Cut(pair, "="); !known[pair] && name != "HOME" {
			fmt.Fprintf(&text, "export %s='%s'\n", name, value)
		}
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Reports is where reports are copied to.
func (c *Controller) Reports() string { return filepath.Join(c.dir, "reports") }

// Playing is an ansible-playbook under way.
type Playing struct {
	cmd     *exec.Cmd
	out     *transcript.Buffer
	started time.Time
	done    chan struct{}
	err     error
}

// Start starts a playbook: Start(ctx, "cluster-migrate.yml", "-l", "node1").
func (c *Controller) Start(ctx context.Context, args ...string) (*Playing, error) {
	program := "ansible-playbook"
	if c.Bin != "" {
		program = filepath.Join(c.Bin, program)
	}
	ctx, cancel := context.WithTimeout(ctx, longestPlay)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = c.lab.repo, c.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// One that takes too long says where it is (PYTHONFAULTHANDLER) and ends.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGABRT) }
	cmd.WaitDelay = 5 * time.Second // masters of SSH connections inherit the pipes
	p := &Playing{cmd: cmd, out: new(transcript.Buffer), started: time.Now(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start ansible-playbook: %w", err)
	}
	go func() {
		p.err = cmd.Wait()
		cancel()
		_ = p.Kill() // what is left of its group
		close(p.done)
	}()
	return p, nil
}

// longestPlay is more than any playbook takes, on a busy machine too.
const longestPlay = 4 * time.Minute

// Played is how a playbook ended.
type Played struct {
	Exit       int // -1: killed
	Transcript string
	Took       time.Duration
}

// Wait waits for the end.
func (p *Playing) Wait() (Played, error) {
	<-p.done
	played := Played{Transcript: p.out.String(), Took: time.Since(p.started)}
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil
	}
	var err error
	played.Exit, err = exitCode(p.err)
	return played, err
}

// Kill ends the controller at once, as kill -9 or a closed laptop.
func (p *Playing) Kill() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// Play runs a playbook to its end.
func (c *Controller) Play(ctx context.Context, args ...string) (Played, error) {
	p, err := c.Start(ctx, args...)
	if err != nil {
		return Played{}, err
	}
	return p.Wait()
}
