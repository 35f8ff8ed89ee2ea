package nfs

import (
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

const inventory = `---
cidx:
  hosts:
    node1:
      ansible_host: 127.0.0.1
      ansible_port: %d
  vars:
    ansible_user: ops
    ansible_become: true
    ansible_ssh_private_key_file: %[2]s/key
    ansible_ssh_common_args: -o UserKnownHostsFile=%[2]s/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes
    cidx_home: %[3]s
    cidx_api_key: "{{ lookup('ansible.builtin.file', '%[2]s/api_key') }}"
    cidx_report_dir: %[2]s/reports
`

// writeController leaves what the operator has on this machine.
func (m *machine) writeController(hostKeys []string) error {
	var known strings.Builder
	for _, key := range hostKeys {
		fmt.Fprintf(&known, "[127.0.0.1]:%d %s\n", m.ssh, key)
	}
	return errors.Join(
		put(m.dir, "known_hosts", known.String(), 0o644),
		put(m.dir, "api_key", m.facts.Admin.APIKey+"\n", 0o600),
		put(m.dir, "inventory.yml", fmt.Sprintf(inventory, m.ssh, m.dir, home), 0o600),
		os.MkdirAll(filepath.Join(m.dir, "operator"), 0o700),
	)
}

// played is how a playbook ended.
type played struct {
	command    string
	exit       int
	transcript string
	took       time.Duration
}

// playing is an ansible-playbook under way.
type playing struct {
	cmd     *exec.Cmd
	out     transcript.Buffer
	started time.Time
	done    chan error
}

// play starts a playbook as an operator does, in the repository's root.
func (m *machine) play(ctx context.Context, args ...string) (*playing, error) {
	p := &playing{cmd: exec.CommandContext(ctx, "ansible-playbook", args...), started: time.Now(), done: make(chan error, 1)}
	operator := filepath.Join(m.dir, "operator")
	p.cmd.Dir = repo
	p.cmd.Env = append(os.Environ(), "HOME="+operator, "ANSIBLE_INVENTORY="+filepath.Join(m.dir, "inventory.yml"), "ANSIBLE_NOCOLOR=1", "ANSIBLE_FORCE_COLOR=0",
		"PYTHONDONTWRITEBYTECODE=1", "ANSIBLE_SSH_CONTROL_PATH_DIR="+filepath.Join(operator, "cp"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.WaitDelay = 5 * time.Second // masters of SSH connections inherit the pipes
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start ansible-playbook: %w", err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p, nil
}

// wait waits for the end; an exit code other than 0 is no error.
func (p *playing) wait() (played, error) {
	err := <-p.done
	end := played{command: strings.Join(p.cmd.Args, " "), transcript: p.out.String(), took: time.Since(p.started)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		end.exit, err = exit.ExitCode(), nil
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil
	}
	return end, err
}
