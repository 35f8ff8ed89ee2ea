package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// packages is what a node has installed beyond Debian's minimal system: what a
// server that runs CIDX has, what the judge needs there, and SSH.
var packages = []string{
	"systemd", "systemd-sysv", "libpam-systemd", "dbus", "openssh-server", "sudo", "iproute2", "procps", "mount", "acl", "kmod",
	"python3", "rsync", "git", "sqlite3", "postgresql-client", "ca-certificates",
}

// release is the Debian release of the nodes.
const release = "bookworm"

// DebianRoot returns a Debian root with these packages beyond the minimal system
// below cache, and makes it if it is not there. Its name has a hash of all that
// it depends on, so that a change of the package list makes a new one.
func DebianRoot(ctx context.Context, cache, name string, packages []string) (string, error) {
	sum := sha256.Sum256([]byte(release + " " + strings.Join(packages, " ")))
	root := filepath.Join(cache, name+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	unlock, err := waitLock(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	nursery, err := os.MkdirTemp(cache, "new-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make root: %w", err)
	}
	defer os.RemoveAll(nursery)
	partial := filepath.Join(nursery, "root")
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--variant=minbase", "--include="+strings.Join(packages, ","),
		"--aptopt=Apt::Install-Recommends false", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", release, partial)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make root: mmdebstrap: %w: %s", err, tail(out, 2000))
	}
	if err := os.Rename(partial, root); err != nil {
		return "", fmt.Errorf("keep root: %w", err)
	}
	return root, nil
}

// Accounts makes in a Debian root the service's user, cidx (1500), and an ordinary
// one who logs in with a new key and has sudo, ops (1600); and root's folders,
// with mode 755. The private key goes to key, the public one to key.pub.
func Accounts(ctx context.Context, root, key string, folders ...string) error {
	if _, err := said(exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)); err != nil {
		return err
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	for _, words := range [][]string{
		{"useradd", "-m", "-u", "1500", "-s", "/bin/bash", "cidx"},
		{"useradd", "-m", "-u", "1600", "-s", "/bin/bash", "ops"},
		{"install", "-d", "-o", "ops", "-g", "ops", "-m", "700", "/home/ops/.ssh"},
		append([]string{"install", "-d", "-m", "755"}, folders...),
	} {
		if _, err := said(exec.CommandContext(ctx, "chroot", append([]string{root}, words...)...)); err != nil {
			return err
		}
	}
	return errors.Join(
		put(root, "/etc/sudoers.d/ops", "ops ALL=(ALL) NOPASSWD: ALL\n", 0o440),
		put(root, "/home/ops/.ssh/authorized_keys", string(public), 0o644),
	)
}

// waitLock waits for a lock on a file; the lock ends with unlock or with this process.
func waitLock(path string) (unlock func(), err error) {
	f, err := lock(path, 0)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// errLocked says that another living process holds the lock.
var errLocked = errors.New("locked")

// lock takes a lock; how may be unix.LOCK_NB.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|how); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

func tail(text []byte, n int) string { return string(text[max(0, len(text)-n):]) }

// Impossible tells why this machine cannot run the lab; "" means that it can.
func Impossible() string {
	if os.Geteuid() != 0 {
		return "it needs root: nodes, mounts and network namespaces"
	}
	for _, program := range []string{"systemd-nspawn", "mmdebstrap", "ip", "ssh", "ssh-keygen", "nsenter", "ansible-playbook"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed: build/setup.sh lab installs it"
		}
	}
	return ""
}
