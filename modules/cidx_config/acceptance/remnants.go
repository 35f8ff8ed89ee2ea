package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// ofState are the names in the state folder that only a rollback needs, or that
// remember a copy which is over. What has a time after its name is an older one of
// the same. Everything else stays: journal, acceptance, reports.
var ofState = []struct{ name, what string }{
	{"backup.json", "record of the backup"},
	{"snapshot", "copies of the databases and keys"},
	{"warm", "copies of the databases as they were loaded before the stop"},
	{"aliases", "copies of the alias files"},
	{"after-cluster", "files of the cluster that a rollback replaced"},
	{"set-aside.json", "list of what was set aside"},
	{"files", "manifests of the copy"},
	{"database.json", "record of what was loaded; PostgreSQL and accepted.json have it"},
	{"config.json.cluster", "copy of the cluster's configuration"},
}

// remnants lists what only a rollback needs, in the order in which it goes: the
// standalone configuration first, so that nobody goes back by hand to what is
// half removed. The error names everything that would stand in the way.
func (a *acceptance) remnants(ctx context.Context, standing home.Standing) ([]home.Remnant, error) {
	found := named(a.Home, filepath.Base(a.ConfigPath())+home.PreCluster, "standalone configuration")
	for _, n := range ofState {
		found = append(found, named(string(a.State()), n.name, n.what)...)
	}
	links := standing.Links()
	for _, t := range home.AllTrees(a.Home, "") {
		if _, ours := links[t.Link]; ours && t.Moved() {
			found = append(found, home.Remnant{Path: t.Aside(), What: "folder of the standalone server"})
		}
	}
	for _, path := range job.Caches(a.Home) {
		found = append(found, home.Remnant{Path: path, What: "lists of rehearsals"})
	}
	m := measure{seen: map[[2]uint64]uint64{}}
	for i := range found {
		progress.Report(ctx, progress.Status{What: "looking through " + found[i].Path})
		if err := m.size(ctx, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, m.problems.Err()
}

// named are the entry of that name in a folder and older ones: name.<time>.
func named(dir, name, what string) []home.Remnant {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the state folder has been read before
	}
	var list []home.Remnant
	for _, e := range entries {
		stamp, older := strings.CutPrefix(e.Name(), name+".")
		if e.Name() == name || older && (stamp == "unfinished" || isStamp(stamp)) {
			list = append(list, home.Remnant{Path: filepath.Join(dir, e.Name()), What: what})
		}
	}
	return list
}

// isStamp recognises 20260102_150405, and -2 after it.
func isStamp(s string) bool {
	s, _, _ = strings.Cut(s, "-")
	return len(s) == 15 && s[8] == '_' && strings.Trim(s, "0123456789_") == ""
}

// measure counts what comes free, each file once, however many names it has.
type measure struct {
	mu       sync.Mutex
	seen     map[[2]uint64]uint64 // names of files with several, by device and inode
	problems problem.List
}

func (m *measure) size(ctx context.Context, r *home.Remnant) error {
	info, err := os.Lstat(r.Path)
	if err != nil {
		return fmt.Errorf("look at what is to be removed: %w", err)
	}
	if !info.IsDir() {
		e, err := tree.Lstat(unix.AT_FDCWD, r.Path)
		if err == nil {
			m.add(r, &e)
		}
		return err
	}
	if err := m.mounts(r.Path); err != nil {
		return err
	}
	o := tree.Options{Unreadable: func(path string, err error) { m.closed(filepath.Join(r.Path, path), err) }}
	return tree.Walk(ctx, r.Path, o, func(d *tree.Dir) error {
		path := filepath.Join(r.Path, d.Path)
		if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
			m.closed(path, err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := range d.Entries {
			m.add(r, &d.Entries[i])
		}
		return nil
	})
}

func (m *measure) add(r *home.Remnant, e *tree.Entry) {
	if !e.IsDir() {
		r.Files++
	}
	if e.IsRegular() && e.Nlink > 1 {
		id := [2]uint64{e.Dev, e.Ino}
		if m.seen[id]++; m.seen[id] < e.Nlink {
			return
		}
	}
	r.Bytes += e.Blocks * 512
}

// shownClosed bounds the folders that are named.
const shownClosed = 10

func (m *measure) closed(path string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.problems) < shownClosed {
		q := human.Word(path)
		m.problems = append(m.problems, problem.Problem{What: "cannot be removed: " + err.Error(), At: path,
			Fix: fmt.Sprintf("chown -hR \"$(stat -c %%U: %s)\" %s && chmod -R u+rwX %[2]s", human.Word(filepath.Dir(path)), q)})
	}
}

// mounts names what is mounted at or below a folder: it is somebody's, and would
// be emptied.
func (m *measure) mounts(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("look at what is to be removed: %w", err)
	}
	list, err := share.Mounts()
	if err != nil {
		return err
	}
	for _, mount := range list {
		if repath.Within(mount.Point, real) {
			m.problems = append(m.problems, problem.Problem{
				What: fmt.Sprintf("a mount (%s, %s) in a folder that is to be removed", mount.Type, mount.Source), At: mount.Point,
				Fix: "unmount it: umount " + human.Word(mount.Point),
			})
		}
	}
	return nil
}

// remove takes one thing away without following a link, entry by entry where it is
// a folder, so that it can be interrupted.
func (a *acceptance) remove(ctx context.Context, r home.Remnant) error {
	var entries []os.DirEntry
	if info, err := os.Lstat(r.Path); err == nil && info.IsDir() {
		entries, _ = os.ReadDir(r.Path) // what cannot be read cannot be removed either
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("remove %s: %w", r.Path, err)
		}
		path := filepath.Join(r.Path, e.Name())
		a.Reach("remove " + path)
		progress.Report(ctx, progress.Status{What: "removing " + path})
		if err := os.RemoveAll(path); err != nil {
			return stuck(err, path)
		}
	}
	a.Reach("remove " + r.Path)
	if err := os.RemoveAll(r.Path); err != nil {
		return stuck(err, r.Path)
	}
	return durable.SyncFolder(filepath.Dir(r.Path))
}

func stuck(err error, path string) problem.Problem {
	return problem.Problem{What: "remove: " + err.Error(), At: path,
		Fix: "make it removable for the server's user (lsattr shows attributes that forbid it, findmnt mounts), then run " +
			"cluster-accept.yml again: it goes on here"}
}
