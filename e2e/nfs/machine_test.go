package nfs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"cidx-cluster/e2e/internal/ports"
	"cidx-cluster/e2e/lab"
	"cidx-cluster/e2e/seed"
)

// machine is node1, booted.
type machine struct {
	dir   string   // everything of this run lies here
	owner *os.File // locked as long as we live
	facts seed.Facts
	ssh   int // forwarded ports of 127.0.0.1
	http  int

	emulator *exec.Cmd
	ended    chan struct{}
	how      error // how it ended
}

func (m *machine) bin() string { return filepath.Join(m.dir, "bin") } // programs of the tests

// boot makes the disk, starts the machine and waits until SSH answers.
func (m *machine) boot(ctx context.Context) error {
	made, err := m.makeImage(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(m.dir, "facts.json"))
	if err == nil {
		err = json.Unmarshal(text, &m.facts)
	}
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	free, err := ports.Free(2)
	if err != nil {
		return err
	}
	m.ssh, m.http = free[0], free[1]
	if err := m.writeController(made.hostKeys); err != nil {
		return err
	}
	if err := m.start(made); err != nil {
		return err
	}
	err = m.await("node1 to boot", 5*time.Minute, func() error { _, err := m.run(ctx, "true"); return err })
	if err != nil {
		return fmt.Errorf("%w\n%s", err, m.console())
	}
	return nil
}

// start starts the emulator. Its thread is ours, because the kernel ends it
// when the thread that started it ends: a killed test leaves no machine behind.
func (m *machine) start(made image) error {
	m.emulator = exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none",
		"-kernel", made.kernel, "-initrd", made.initrd, "-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off",
		"-drive", "file="+made.disk+",if=virtio,format=raw,cache=unsafe", "-serial", "file:"+filepath.Join(m.dir, "console"),
		"-device", "virtio-rng-pci", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-netdev", fmt.Sprintf("user,id=net,hostfwd=tcp:127.0.0.1:%d-:22,hostfwd=tcp:127.0.0.1:%d-:8000", m.ssh, m.http))
	m.emulator.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var words bytes.Buffer
	m.emulator.Stderr = &words
	m.ended = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.emulator.Start()
		started <- err
		if err != nil {
			return
		}
		_ = m.emulator.Wait() // ProcessState tells
		m.how = fmt.Errorf("%s %s", m.emulator.ProcessState, strings.TrimSpace(words.String()))
		close(m.ended)
	}()
	if err := <-started; err != nil {
		m.ended = nil
		return fmt.Errorf("start emulator: %w", err)
	}
	return nil
}

// down ends the machine and removes its folder.
func (m *machine) down() error {
	if m == nil {
		return nil
	}
	if m.ended != nil {
		if err := m.emulator.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("end emulator: %w", err)
		}
		<-m.ended
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("remove machine: %w", err)
	}
	return m.owner.Close()
}

// run gives root's shell a script and returns what it printed. The script
// travels on standard input, so that it may have secrets.
func (m *machine) run(ctx context.Context, script string) (string, error) {
	args := append(m.sshOptions(), "-p", fmt.Sprint(m.ssh), "ops@127.0.0.1", "sudo", "-n", "bash", "-euo", "pipefail", "-s")
	cmd := exec.CommandContext(ctx, "ssh", args...)
	cmd.Stdin = strings.NewReader("{\n" + script + "\n} </dev/null\n")
	cmd.WaitDelay = 5 * time.Second // the connection's master inherits the pipes
	out, err := said(cmd)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return strings.TrimSpace(out), err
}

func (m *machine) sshOptions() []string {
	return []string{"-F", "none", "-i", filepath.Join(m.dir, "key"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20",
		"-o", "UserKnownHostsFile=" + m.knownHosts(), "-o", "StrictHostKeyChecking=yes",
		"-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", "ControlPath=" + filepath.Join(m.dir, "ssh")}
}

func (m *machine) knownHosts() string { return filepath.Join(m.dir, "known_hosts") }

// console is the end of what the machine's kernel and systemd have said.
func (m *machine) console() string {
	text, _ := os.ReadFile(filepath.Join(m.dir, "console"))
	return tail(string(text), 3000)
}

// healthy waits until the server answers its anonymous probe with 200.
func (m *machine) healthy(ctx context.Context, patience time.Duration) error {
	return m.await("node1's server", patience, func() error {
		return lab.Probe(ctx, fmt.Sprintf("http://127.0.0.1:%d", m.http), 10*time.Second)
	})
}

// await asks until it holds, patience ends, or the machine does.
func (m *machine) await(what string, patience time.Duration, holds func() error) error {
	until := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		select {
		case <-m.ended:
			return fmt.Errorf("wait for %s: the emulator has ended: %w", what, m.how)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// said runs a command and returns its output; what it printed is part of the error.
func said(cmd *exec.Cmd) (string, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Args[0]), err, strings.TrimSpace(tail(out.String()+errs.String(), 3000)))
	}
	return out.String(), err
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }
