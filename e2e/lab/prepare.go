package lab

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed units
var units embed.FS

// Paths inside a node.
const (
	Home       = "/home/cidx/.cidx-server" // the server's data directory
	Share      = "/mnt/cidx-shared"        // where the share is mounted
	exportPath = "/srv/share"              // what is mounted there
	stateDir   = Home + "/.cluster-migrate"
)

// prepare makes the layer that all nodes share, above the cached root: accounts,
// units, the programs of the tests, SSH; and the home of a standalone server,
// made inside so that its paths are those of the node.
func (l *Lab) prepare(ctx context.Context) error {
	root, done, err := l.overlay(filepath.Join(l.Dir, "prepared"), l.root)
	if err != nil {
		return err
	}
	defer done()
	if err := Accounts(ctx, root, l.key(), Share, exportPath); err != nil {
		return err
	}
	if _, err := said(exec.CommandContext(ctx, "chroot", root, "install", "-d", "-m", "2755", "/var/log/journal")); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"cidx-server.service": "/etc/systemd/system/", "cidx-auto-update.service": "/etc/systemd/system/", "cidx-auto-update.timer": "/etc/systemd/system/",
		"cidx-watchdog.service": "/etc/systemd/system/", "cidx-watchdog.timer": "/etc/systemd/system/", "stubborn.service": "/etc/systemd/system/",
		"auto-update": "/usr/local/lib/cidx/", "python3": "/usr/local/lib/cidx/",
	} {
		text, err := units.ReadFile("units/" + name)
		if err != nil {
			return fmt.Errorf("read unit: %w", err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(string(text), "#!") {
			mode = 0o755
		}
		if err := put(root, target+name, string(text), mode); err != nil {
			return err
		}
	}
	if err := l.settings(root); err != nil {
		return err
	}
	return l.seedHome(ctx, root)
}

// overlay mounts a writable layer over others and returns the mount point;
// done unmounts it, the layer stays.
func (l *Lab) overlay(dir string, lower ...string) (root string, done func(), err error) {
	paths := map[string]string{}
	for _, name := range []string{"upper", "work", "root"} {
		paths[name] = filepath.Join(dir, name)
		if err := os.MkdirAll(paths[name], 0o755); err != nil {
			return "", nil, fmt.Errorf("make layer: %w", err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(lower, ":"), paths["upper"], paths["work"])
	if err := unix.Mount("overlay", paths["root"], "overlay", 0, options); err != nil {
		return "", nil, fmt.Errorf("mount layer: %w", err)
	}
	return paths["root"], func() { _ = unix.Unmount(paths["root"], unix.MNT_DETACH) }, nil
}

// settings are the files of a node that are no units.
func (l *Lab) settings(root string) error {
	authority, err := os.ReadFile(l.DB.certificate())
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s db\n%s node1\n%s node2\n", l.net.addr(atDatabase), l.net.addr(atNode), l.net.addr(atNode+1))
	for path, text := range map[string]string{
		"/etc/fstab":                          exportPath + " " + Share + " none bind,nofail 0 0\n",
		"/etc/hosts":                          hosts,
		"/etc/cidx-standin.conf":              "STANDIN=-quiet\n",
		"/etc/ssh/sshd_config.d/lab.conf":     "UseDNS no\nPasswordAuthentication no\nMaxStartups 100\n",
		"/etc/systemd/journald.conf.d/l.conf": "[Journal]\nStorage=persistent\nRateLimitBurst=0\nForwardToConsole=no\n",
		"/home/cidx/.gitconfig":               "[safe]\n\tdirectory = *\n",
		Authority:                             string(authority),
	} {
		if err := put(root, path, text, 0o644); err != nil {
			return err
		}
	}
	for _, program := range []string{"cidx-standin", "cidx-seed", "cidx-judge"} {
		binary, err := os.ReadFile(filepath.Join(l.bin, program))
		if err != nil {
			return fmt.Errorf("read %s: %w", program, err)
		}
		if err := put(root, "/usr/local/bin/"+program, string(binary), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// seedHome makes the home of node1 in the folder that every scenario copies.
func (l *Lab) seedHome(ctx context.Context, root string) error {
	for path, mode := range map[string]os.FileMode{l.templateHome(): 0o755} {
		if err := os.MkdirAll(path, mode); err != nil {
			return fmt.Errorf("make home: %w", err)
		}
	}
	inside := filepath.Join(root, "home", "cidx")
	if _, err := said(exec.CommandContext(ctx, "cp", "-a", inside+"/.", l.templateHome())); err != nil {
		return err
	}
	if err := unix.Mount(l.templateHome(), inside, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind home: %w", err)
	}
	defer unix.Unmount(inside, unix.MNT_DETACH)
	if _, err := said(exec.CommandContext(ctx, "chroot", root, "chown", "-R", "cidx:cidx", "/home/cidx")); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "chroot", "--userspec=cidx:cidx", root, "/usr/local/bin/cidx-seed", "home", "-home", Home,
		"-repos", "5", "-rows", "15", "-files-per-repo", "20", "-host", "0.0.0.0", "-port", "8000", "-facts", "/home/cidx/facts.json")
	cmd.Env = []string{"HOME=/home/cidx", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	if _, err := said(cmd); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(l.templateHome(), "facts.json"), filepath.Join(l.Dir, "facts.json")); err != nil {
		if _, err := said(exec.CommandContext(ctx, "mv", filepath.Join(l.templateHome(), "facts.json"), l.Dir)); err != nil {
			return err
		}
	}
	return l.readFacts()
}

// put writes a file below a root, folders included.
func put(root, path, text string, mode os.FileMode) error {
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Chmod(full, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
