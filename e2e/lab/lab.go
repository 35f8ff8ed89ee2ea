package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/e2e/seed"
)

// Lab is one staged machine room.
type Lab struct {
	Dir   string // everything of this lab lies here
	Facts seed.Facts
	DB    *Database
	Node1 *Node
	Node2 *Node

	repo, bin string
	root      string // the cached Debian root
	kind      shareKind
	first     func(context.Context, *Node) error // done to node1 before it is joined; nil: nothing
	filer     *exec.Cmd                          // serves the share
	net       network
	held      *os.File // lock that says: the owner lives
}

// Base is the folder below which labs lie. It is short: control sockets of SSH
// have paths of at most 108 bytes.
func Base() string { return fmt.Sprintf("/tmp/cidx-lab-%d", os.Getuid()) }

// Up stages a lab for this process; repo is the root of the checkout, whose
// .build folder has the programs and the cache. Nodes are made by Fresh.
func Up(ctx context.Context, repo string) (*Lab, error) {
	if reason := Impossible(); reason != "" {
		return nil, errors.New("make lab: " + reason)
	}
	l := &Lab{repo: repo, bin: filepath.Join(repo, ".build", "bin")}
	if err := l.up(ctx); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

func (l *Lab) up(ctx context.Context) error {
	var err error
	if l.root, err = DebianRoot(ctx, filepath.Join(l.repo, ".build", "cache"), "lab", packages); err != nil {
		return err
	}
	if err := l.claim(ctx); err != nil {
		return err
	}
	// In memory: a lab writes much and keeps nothing.
	if err := unix.Mount("cidx-lab", l.Dir+"/m", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount lab: %w", err)
	}
	l.Dir += "/m"
	if l.DB, err = newDatabase(ctx, filepath.Join(l.Dir, "db"), l.mark(), l.net); err != nil {
		return err
	}
	l.Node1, l.Node2 = l.node(0), l.node(1)
	if err := l.prepare(ctx); err != nil {
		return err
	}
	return l.writeController()
}

// claim makes the lab's folder and network; the lock on it is held until Down.
func (l *Lab) claim(ctx context.Context) error {
	if err := os.MkdirAll(Base(), 0o755); err != nil {
		return fmt.Errorf("make lab folder: %w", err)
	}
	unlock, err := waitLock(filepath.Join(Base(), "network.lock")) // two labs must not choose the same subnet
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.MkdirTemp(Base(), "")
	if err != nil {
		return fmt.Errorf("make lab folder: %w", err)
	}
	short := filepath.Join(Base(), password()[3:7])
	if err := os.Rename(dir, short); err != nil {
		return fmt.Errorf("make lab folder: %w", err)
	}
	l.Dir = short
	if err := errors.Join(os.Chmod(short, 0o755), os.Mkdir(short+"/m", 0o755)); err != nil {
		return fmt.Errorf("make lab folder: %w", err)
	}
	if l.held, err = lock(filepath.Join(short, "owner"), 0); err != nil {
		return err
	}
	subnet, err := freeSubnet(ctx)
	if err != nil {
		return err
	}
	l.net = network{ID: filepath.Base(short), Prefix: subnet}
	return l.net.up(ctx, atDatabase, atNode, atNode+1)
}

// outer is the folder around the lab's file system in memory.
func (l *Lab) outer() string { return strings.TrimSuffix(l.Dir, "/m") }

func (l *Lab) mark() string { return mark + l.outer() }

// Down ends everything of this lab and removes it.
func (l *Lab) Down() error {
	if l.Dir == "" {
		return nil
	}
	err := remove(l.outer())
	if l.held != nil {
		l.held.Close()
	}
	return err
}

// remove ends and removes the lab in dir, whoever made it.
func remove(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	errs := []error{killOwned(dir), unmountBelow(dir), network{ID: filepath.Base(dir)}.down(ctx)}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take lab %s down: %w", dir, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove lab: %w", err)
	}
	return nil
}

// unmountBelow takes away every mount at or below dir, the innermost first.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4]+"/", dir+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points)
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	return nil
}

// Sweep takes down the labs whose owner is gone.
func Sweep() error {
	found, err := filepath.Glob(filepath.Join(Base(), "*", "owner"))
	if err != nil {
		return fmt.Errorf("find old labs: %w", err)
	}
	var errs []error
	for _, path := range found {
		held, err := lock(path, unix.LOCK_NB)
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, remove(filepath.Dir(path)))
		held.Close()
	}
	return errors.Join(errs...)
}

func (l *Lab) key() string          { return filepath.Join(l.Dir, "key") }
func (l *Lab) templateHome() string { return filepath.Join(l.Dir, "home") }
func (l *Lab) share() string        { return filepath.Join(l.Dir, "share") }

func (l *Lab) readFacts() error {
	text, err := os.ReadFile(filepath.Join(l.Dir, "facts.json"))
	if err == nil {
		err = json.Unmarshal(text, &l.Facts)
	}
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	l.Facts.Secrets = append(l.Facts.Secrets, l.DB.Password, l.DB.admin)
	return nil
}

// Fresh gives back the start of every scenario: an empty share and database,
// and node1 booted with its standalone server running and joined by what
// cluster-join.sh does.
func (l *Lab) Fresh(ctx context.Context) error {
	l.stopServing() // a node that waits for the share cannot end
	for _, n := range []*Node{l.Node1, l.Node2} {
		if err := n.Discard(); err != nil {
			return err
		}
	}
	if err := errors.Join(l.remountShare(ctx), l.DB.Reset(ctx)); err != nil {
		return err
	}
	if err := l.Node1.Create(ctx); err != nil {
		return err
	}
	if err := l.Node1.Boot(ctx); err != nil {
		return err
	}
	if err := l.Node1.Healthy(ctx, 30*time.Second); err != nil {
		return err
	}
	if l.first != nil {
		if err := l.first(ctx, l.Node1); err != nil {
			return err
		}
	}
	return l.Node1.Join(ctx, "node-1")
}

// command is exec.Command with the lab's mark.
func (l *Lab) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), l.mark())
	return cmd
}
