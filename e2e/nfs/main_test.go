package nfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/e2e/pgtest"
)

var (
	postgres pgtest.Cluster // on this machine; node1 reaches it through the emulator
	node1    *machine       // booted once, for all scenarios
	repo     string         // root of the checkout

	skipped string // why scenarios are skipped
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("LAB") != "nfs" {
		skipped = "only with LAB=nfs (make lab-nfs)"
		return m.Run()
	}
	if reason := impossible(); reason != "" {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, "nfs: impossible on this machine:", reason)
			return 1
		}
		skipped = "REAL NFS IS NOT TRIED ON THIS MACHINE: " + reason
		return m.Run()
	}
	if err := stageAll(); err != nil {
		fmt.Fprintln(os.Stderr, "nfs:", errors.Join(err, node1.down()))
		return 1
	}
	code := pgtest.Run(m, &postgres)
	if err := node1.down(); err != nil {
		fmt.Fprintln(os.Stderr, "nfs:", err)
		return 1
	}
	return code
}

// impossible tells why this machine cannot emulate node1; "" means that it can.
func impossible() string {
	switch {
	case runtime.GOARCH != "amd64":
		return "node1 is an amd64 machine, whose root cannot be prepared on " + runtime.GOARCH
	case os.Geteuid() != 0:
		return "it needs root: a Debian root with its owners is made"
	}
	for _, program := range []string{"qemu-system-x86_64", "mmdebstrap", "mke2fs", "ssh", "ssh-keygen", "ansible-playbook"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed: build/setup.sh nfs installs it"
		}
	}
	return ""
}

// stageAll builds what the scenarios need and boots node1.
func stageAll() error {
	var err error
	if repo, err = filepath.Abs("../.."); err != nil {
		return fmt.Errorf("find checkout: %w", err)
	}
	if err := sweep(); err != nil {
		return err
	}
	if node1, err = newMachine(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	for _, words := range [][]string{
		{"go", "build", "-o", node1.bin() + "/", "./e2e/cmd/cidx-standin", "./e2e/cmd/cidx-seed", "./e2e/cmd/cidx-judge"},
		{filepath.Join(repo, "build", "helper.sh")},
	} {
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		cmd.Dir, cmd.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
		if _, err := said(cmd); err != nil {
			return err
		}
	}
	return node1.boot(ctx)
}

const prefix = "cidx-nfs-"

// newMachine makes the folder of a machine and holds the lock that says that its owner lives.
func newMachine() (*machine, error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	m := &machine{dir: dir}
	if m.owner, err = os.OpenFile(filepath.Join(dir, "owner"), os.O_CREATE|os.O_RDWR, 0o600); err == nil {
		err = unix.Flock(int(m.owner.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return m, fmt.Errorf("lock folder: %w", err)
	}
	return m, nil
}

// sweep removes the folders of killed runs. Their machines have ended with them.
func sweep() error {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*", "owner"))
	if err != nil {
		return fmt.Errorf("find old machines: %w", err)
	}
	for _, path := range found {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // another run has just removed it
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.RemoveAll(filepath.Dir(path))
		}
		f.Close()
		if err != nil {
			return fmt.Errorf("remove old machine: %w", err)
		}
	}
	return nil
}
