package nfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cidx-cluster/e2e/lab"
)

// packages is what the machine has installed beyond Debian's minimal system.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "linux-image-cloud-amd64", "initramfs-tools", "openssh-server", "sudo", "procps", "kmod", "acl",
	"nfs-kernel-server", "nfs-common", "python3", "rsync", "git", "sqlite3", "postgresql-client",
}

// Paths inside the machine.
const (
	home     = "/home/cidx/.cidx-server" // the server's data directory
	state    = home + "/.cluster-migrate"
	template = "/var/lib/cidx-home" // what home is at the start of every scenario
	share    = "/mnt/cidx-shared"   // where the export is mounted
	export   = "/srv/export"        // what the machine exports
)

// imageSize is ample: the system takes a third of it, and the file is sparse.
const imageSize = "2G"

// silent are Debian's timers: they would use the network, or the little speed there is.
var silent = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
	"systemd-timesyncd.service", "systemd-networkd-wait-online.service",
}

// image is a disk ready to be booted, and what its guest can be recognised by.
type image struct {
	disk, kernel, initrd string
	hostKeys             []string // public keys of its SSH server
}

// makeImage makes the disk out of the cached Debian root: accounts, programs,
// units, and a seeded home. It leaves key, key.pub and facts.json beside it.
func (m *machine) makeImage(ctx context.Context) (image, error) {
	cached, err := lab.DebianRoot(ctx, filepath.Join(repo, ".build", "cache"), "nfs", packages)
	if err != nil {
		return image{}, err
	}
	root := filepath.Join(m.dir, "root")
	if _, err := said(exec.CommandContext(ctx, "cp", "-a", cached, root)); err != nil {
		return image{}, err
	}
	defer os.RemoveAll(root)
	for _, step := range []func(context.Context, string) error{m.accounts, m.programs, m.settings, m.seedHome} {
		if err := step(ctx, root); err != nil {
			return image{}, err
		}
	}
	made := image{disk: filepath.Join(m.dir, "disk")}
	for pattern, into := range map[string]*string{"vmlinuz-*": &made.kernel, "initrd.img-*": &made.initrd} {
		if *into, err = m.takeOut(root, pattern); err != nil {
			return image{}, err
		}
	}
	if made.hostKeys, err = readAll(filepath.Join(root, "etc/ssh/ssh_host_*_key.pub")); err != nil {
		return image{}, err
	}
	_, err = said(exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", root, made.disk, imageSize))
	return made, err
}

// accounts are those of the lab.
func (m *machine) accounts(ctx context.Context, root string) error {
	return lab.Accounts(ctx, root, filepath.Join(m.dir, "key"), share, export, template)
}

// programs are those of the tests, and the service, which is that of the lab.
func (m *machine) programs(_ context.Context, root string) error {
	type file struct {
		from, to string
		mode     os.FileMode
	}
	files := []file{{filepath.Join(repo, "e2e/lab/units/cidx-server.service"), "/etc/systemd/system/cidx-server.service", 0o644}}
	for _, program := range []string{"cidx-standin", "cidx-seed", "cidx-judge"} {
		files = append(files, file{filepath.Join(m.bin(), program), "/usr/local/bin/" + program, 0o755})
	}
	for _, f := range files {
		content, err := os.ReadFile(f.from)
		if err != nil {
			return fmt.Errorf("read program: %w", err)
		}
		if err := put(root, f.to, string(content), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// settings are files of the machine. The file server's lease is short: after a
// restart it waits for so long before it lets anybody open a file.
func (m *machine) settings(_ context.Context, root string) error {
	for path, text := range map[string]string{
		"/etc/hostname":                     "node1\n",
		"/etc/hosts":                        "127.0.0.1 localhost node1\n",
		"/etc/fstab":                        "/dev/vda / ext4 defaults 0 1\n",
		"/etc/exports":                      "",
		"/etc/nfs.conf.d/lab.conf":          "[nfsd]\nvers3=n\ngrace-time=10\nlease-time=10\n",
		"/etc/cidx-standin.conf":            "STANDIN=-quiet\n",
		"/etc/ssh/sshd_config.d/lab.conf":   "UseDNS no\nPasswordAuthentication no\nMaxStartups 100\n",
		"/etc/systemd/network/lab.network":  "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n",
		"/etc/systemd/system.conf.d/l.conf": "[Manager]\nDefaultTimeoutStartSec=300\n",
		"/home/cidx/.gitconfig":             "[safe]\n\tdirectory = *\n",
	} {
		if err := put(root, path, text, 0o644); err != nil {
			return err
		}
	}
	links := map[string]string{"multi-user.target.wants/systemd-networkd.service": "/lib/systemd/system/systemd-networkd.service"}
	for _, unit := range silent {
		links[unit] = "/dev/null"
	}
	for name, target := range links {
		path := filepath.Join(root, "etc/systemd/system", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path), os.Symlink(target, path)); err != nil {
			return fmt.Errorf("set up unit %s: %w", name, err)
		}
	}
	return nil
}

// seedHome makes a small standalone home inside, so that its paths are those of
// the machine: about seventy files a second go onto the emulated share.
func (m *machine) seedHome(ctx context.Context, root string) error {
	if _, err := said(exec.CommandContext(ctx, "chroot", root, "chown", "-R", "cidx:cidx", "/home/cidx", template)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "chroot", "--userspec=cidx:cidx", root, "/usr/local/bin/cidx-seed", "home", "-home", home,
		"-repos", "2", "-rows", "5", "-files-per-repo", "10", "-snapshots", "1", "-host", "0.0.0.0", "-port", "8000", "-facts", "/home/cidx/facts.json")
	cmd.Env = []string{"HOME=/home/cidx", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	if _, err := said(cmd); err != nil {
		return err
	}
	for _, words := range [][]string{
		{"mv", filepath.Join(root, "home/cidx/facts.json"), m.dir},
		{"mv", filepath.Join(root, home), filepath.Join(root, template)},
	} {
		if _, err := said(exec.CommandContext(ctx, words[0], words[1:]...)); err != nil {
			return err
		}
	}
	return nil
}

// takeOut copies the one file of /boot that a pattern matches to the machine's folder.
func (m *machine) takeOut(root, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, "boot", pattern))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("find %s in /boot: %d files, not 1", pattern, len(found))
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		return "", fmt.Errorf("read kernel: %w", err)
	}
	to := filepath.Join(m.dir, filepath.Base(found[0]))
	if err := os.WriteFile(to, content, 0o644); err != nil {
		return "", fmt.Errorf("keep kernel: %w", err)
	}
	return to, nil
}

// readAll returns the content of every file that a pattern matches.
func readAll(pattern string) ([]string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("find %s: none", pattern)
	}
	var texts []string
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		texts = append(texts, strings.TrimSpace(string(text)))
	}
	return texts, nil
}

// put writes a file below a root, folders included.
func put(root, path, text string, mode os.FileMode) error {
	full := filepath.Join(root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), mode), os.Chmod(full, mode)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
