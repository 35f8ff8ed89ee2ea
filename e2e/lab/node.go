package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Node is a machine with a systemd of its own.
type Node struct {
	Name  string // node1, node2
	lab   *Lab
	place int

	container *exec.Cmd // systemd-nspawn; nil while the node is off
	ended     chan struct{}
	init      int // the node's first process, as this machine counts
	Boots     int
}

func (l *Lab) node(i int) *Node {
	return &Node{Name: fmt.Sprintf("node%d", i+1), lab: l, place: atNode + i}
}

// Addr is the node's address.
func (n *Node) Addr() string { return n.lab.net.addr(n.place) }

// URL is where its server answers.
func (n *Node) URL() string { return "http://" + n.Addr() + ":8000" }

func (n *Node) dir() string  { return filepath.Join(n.lab.Dir, n.Name) }
func (n *Node) root() string { return filepath.Join(n.dir(), "root") }

// Disk is the node's file system of /home/cidx, as this machine sees it.
func (n *Node) Disk() string { return filepath.Join(n.dir(), "home") }

// Changes is the folder with what the node wrote outside /home/cidx.
func (n *Node) Changes() string { return filepath.Join(n.dir(), "upper") }

// Path is where this machine sees a path below /home/cidx of the node.
func (n *Node) Path(inside string) string {
	return filepath.Join(n.Disk(), strings.TrimPrefix(inside, "/home/cidx"))
}

// State is where this machine sees a file of the migration's state folder.
func (n *Node) State(name string) string { return n.Path(filepath.Join(stateDir, name)) }

// homeBytes is the size of /home/cidx.
const homeBytes = 256 << 20

// Create makes the node's disks: the prepared system, and node1's home.
func (n *Node) Create(ctx context.Context) error {
	if _, _, err := n.lab.overlay(n.dir(), filepath.Join(n.lab.Dir, "prepared", "upper"), n.lab.root); err != nil {
		return err
	}
	if err := os.MkdirAll(n.Disk(), 0o755); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	if err := unix.Mount("cidx-home", n.Disk(), "tmpfs", 0, fmt.Sprintf("mode=0755,uid=1500,gid=1500,size=%d", homeBytes)); err != nil {
		return fmt.Errorf("mount disk: %w", err)
	}
	id := strings.Repeat(fmt.Sprintf("%x", 10+n.place), 32)[:32]
	if err := errors.Join(put(n.root(), "/etc/machine-id", id+"\n", 0o444), put(n.root(), "/etc/hostname", n.Name+"\n", 0o644)); err != nil {
		return err
	}
	for _, link := range []string{"timers.target.wants/cidx-auto-update.timer", "timers.target.wants/cidx-watchdog.timer", "multi-user.target.wants/cidx-server.service"} {
		if n.Name != "node1" {
			break
		}
		path := filepath.Join(n.root(), "etc/systemd/system", link)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink("/etc/systemd/system/"+filepath.Base(link), path)); err != nil {
			return fmt.Errorf("enable unit: %w", err)
		}
	}
	if n.Name != "node1" {
		return nil
	}
	_, err := said(exec.CommandContext(ctx, "cp", "-a", n.lab.templateHome()+"/.", n.Disk()))
	return err
}

// Write makes a file of the node, from outside.
func (n *Node) Write(path, text string, mode os.FileMode) error {
	return put(n.root(), path, text, mode)
}

// Boot starts the node and waits until SSH answers.
func (n *Node) Boot(ctx context.Context) error {
	console, err := os.OpenFile(filepath.Join(n.dir(), "console"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("boot %s: %w", n.Name, err)
	}
	defer console.Close()
	cmd := n.lab.command(context.WithoutCancel(ctx), "systemd-nspawn", "-q", "-D", n.root(), "--boot", "--register=no", "--keep-unit", "--console=pipe",
		"-M", "cidx-lab-"+n.lab.net.ID+"-"+n.Name, "--hostname="+n.Name, "--network-namespace-path="+n.lab.net.path(n.place), "--link-journal=no",
		"--resolv-conf=off", "--timezone=off", "--bind="+n.Disk()+":/home/cidx", "--bind="+n.lab.share()+":"+exportPath)
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("boot %s: %w", n.Name, err)
	}
	n.container, n.ended, n.Boots = cmd, make(chan struct{}), n.Boots+1
	go func() { _ = cmd.Wait(); close(n.ended) }() // how it ends is told by ended
	err = await(n.Name+" to boot", 60*time.Second, func() error {
		select {
		case <-n.ended:
			text, _ := os.ReadFile(filepath.Join(n.dir(), "console"))
			return fmt.Errorf("it ended: %s", tail(text, 1000))
		default:
		}
		return n.sshAnswers()
	})
	if err != nil {
		return err
	}
	found := children(cmd.Process.Pid)
	if len(found) != 1 {
		return fmt.Errorf("boot %s: %d processes below systemd-nspawn, not 1", n.Name, len(found))
	}
	n.init = found[0]
	return nil
}

func (n *Node) sshAnswers() error {
	conn, err := net.DialTimeout("tcp", n.Addr()+":22", time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 4))
	return err
}

// PowerCut ends the node as a power cut does: every process at once. Its disks stay.
func (n *Node) PowerCut() error {
	if n.container == nil {
		return nil
	}
	kill(n.init)
	// The first process of a process space ends after all others in it.
	err := await("power cut of "+n.Name, 20*time.Second, func() error {
		if n.init != 0 && alive(n.init) {
			return errors.New("it is still there")
		}
		return nil
	})
	kill(n.container.Process.Pid)
	<-n.ended
	n.container, n.init = nil, 0
	return err
}

// Discard ends the node and removes its disks.
func (n *Node) Discard() error {
	if err := n.PowerCut(); err != nil {
		return err
	}
	n.Boots = 0
	if err := unmountBelow(n.dir()); err != nil {
		return err
	}
	if err := os.RemoveAll(n.dir()); err != nil {
		return fmt.Errorf("remove disks of %s: %w", n.Name, err)
	}
	return nil
}

// Command prepares a command that root runs inside the node, not through SSH.
// Its environment is env alone.
func (n *Node) Command(ctx context.Context, env []string, words ...string) *exec.Cmd {
	args := []string{"--target", fmt.Sprint(n.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, words...)...)
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}, env...)
	return cmd
}

// Enter is a command line for a root shell in the node.
func (n *Node) Enter() string {
	return fmt.Sprintf("nsenter --target %d --mount --uts --ipc --net --pid --root --wd -- bash", n.init)
}

// Run runs such a command and returns what it printed.
func (n *Node) Run(ctx context.Context, words ...string) (string, error) {
	return said(n.Command(ctx, nil, words...))
}

// Join does what an operator does before the migration: cluster-join.sh, as the service's user.
func (n *Node) Join(ctx context.Context, nodeID string) error {
	cmd := n.Command(ctx, []string{"CIDX_POSTGRES_DSN=" + n.lab.DB.DSN()}, "setpriv", "--reuid", "cidx", "--regid", "cidx", "--init-groups",
		"env", "HOME=/home/cidx", "cidx-seed", "join", "-home", Home, "-share", Share, "-node-id", nodeID)
	_, err := said(cmd)
	return err
}

// Healthy waits until the server answers its anonymous probe with 200.
func (n *Node) Healthy(ctx context.Context, patience time.Duration) error {
	err := await(n.Name+"'s server", patience, func() error { return Probe(ctx, n.URL(), 3*time.Second) })
	if err != nil {
		log, _ := n.Run(ctx, "journalctl", "-u", "cidx-server", "-n", "15", "--no-pager", "-o", "cat")
		return fmt.Errorf("%w\n%s", err, log)
	}
	return nil
}

// Unit says whether a unit is active: systemd's own word.
func (n *Node) Unit(ctx context.Context, unit string) (string, error) {
	out, err := n.Command(ctx, nil, "systemctl", "is-active", unit).Output()
	if _, err := exitCode(err); err != nil {
		return "", fmt.Errorf("ask for %s: %w", unit, err)
	}
	return strings.TrimSpace(string(out)), nil
}
