package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
)

// spare is the name under which a link is made before it is renamed into place.
func spare(t home.Tree) string { return t.Link + ".cidx-cluster.tmp" }

// seen is one tree as it was found.
type seen struct {
	home.Tree
	state home.LinkState
	aside bool // a real folder at <link>.pre-cluster
}

// look finds the state of a tree.
func look(t home.Tree) (seen, error) {
	s := seen{Tree: t}
	var err error
	if s.state, err = t.LinkState(); err != nil {
		return s, err
	}
	if s.state == home.LinkFolder && mountedThere(t) {
		s.state = home.LinkInPlace
	}
	info, err := os.Lstat(t.Aside())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s, fmt.Errorf("look at %s: %w", t.Aside(), err)
	case !info.IsDir():
		return s, problem.Problem{What: "in the way: not a folder", At: t.Aside(), Fix: "move it away; the cut-over keeps the standalone folder under this name"}
	default:
		s.aside = true
	}
	return s, nil
}

func lookAt(trees []home.Tree) (all []seen, err error) {
	var problems problem.List
	for _, t := range trees {
		one, err := look(t)
		problems.Add(err)
		all = append(all, one)
	}
	return all, problems.Err()
}

// mountedThere reports whether a tree's folder is itself a mount of the share's
// folder, which serves as well as a link. Mounts of a network file system have
// their own device numbers, so the source tells.
func mountedThere(t home.Tree) bool {
	here, ok, err := share.Find(t.Link)
	if err != nil || !ok {
		return false
	}
	whole, ok, err := share.Find(filepath.Dir(t.Target))
	return err == nil && ok && here.Source == whole.Source+"/"+filepath.Base(t.Target)
}

// linkStep plans how a tree becomes a link; needed is false where it is one.
// Pure: it looks at nothing but s.
func linkStep(s seen) (step, bool, error) {
	move := step{
		what: fmt.Sprintf("rename %s to %s and link it to %s", s.Link, filepath.Base(s.Aside()), s.Target), event: home.ConfigLinked,
		data: map[string]any{"link": s.Link, "target": s.Target, "aside": s.Aside()},
		do:   func() error { return moveAndLink(s.Tree) }, undo: func() error { return moveBack(s.Tree) },
	}
	switch s.state {
	case home.LinkInPlace:
		return step{}, false, nil
	case home.LinkFolder:
		if s.aside {
			return step{}, false, problem.Problem{What: "two folders: this one and its backup " + filepath.Base(s.Aside()), At: s.Link, Fix: "find out which one holds the server's data, and move the other one away"}
		}
		return move, true, nil
	case home.LinkMissing:
		if !s.aside {
			return step{}, false, problem.Problem{What: "no such folder", At: s.Link, Fix: "restore it; the cut-over does not make folders up"}
		}
		move.what = fmt.Sprintf("link %s to %s (its folder is renamed already)", s.Link, s.Target)
		return move, true, nil
	case home.LinkForeign:
		to, err := os.Readlink(s.Link)
		if err != nil {
			return step{}, false, fmt.Errorf("read link: %w", err)
		}
		return step{}, false, problem.Problem{What: fmt.Sprintf("a link to %q, not to %s", to, s.Target), At: s.Link, Fix: "replace it by the folder that it leads to, or correct cidx_share"}
	}
	return step{}, false, problem.Problem{What: "not a folder", At: s.Link, Fix: "move it away and restore the folder"}
}

// moveAndLink renames the folder aside and puts a link in its place. Every
// state in which it can be killed is one from which it goes on.
func moveAndLink(t home.Tree) error {
	parent := filepath.Dir(t.Link)
	if err := makeSpare(t); err != nil {
		return err
	}
	moved := false
	if info, err := os.Lstat(t.Link); err == nil && info.IsDir() {
		if err := durable.RenameNew(t.Link, t.Aside()); err != nil {
			return errors.Join(busy(err, t.Link), dropSpare(t))
		}
		moved = true
	}
	if err := durable.RenameNew(spare(t), t.Link); err != nil {
		problems := problem.Of(fmt.Errorf("put the link in place: %w", err))
		if moved {
			problems.Add(durable.RenameNew(t.Aside(), t.Link))
		}
		problems.Add(dropSpare(t))
		return problems
	}
	return durable.SyncFolder(parent)
}

// moveBack is the reverse: our link goes, the folder comes back.
func moveBack(t home.Tree) error {
	if err := dropSpare(t); err != nil {
		return err
	}
	info, err := os.Lstat(t.Link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at link: %w", err)
	case info.Mode()&fs.ModeSymlink == 0:
		return nil // never moved
	default:
		if to, err := os.Readlink(t.Link); err != nil || to != t.Target {
			return problem.Problem{What: fmt.Sprintf("a link to %q, which is not ours", to), At: t.Link, Fix: "put " + t.Aside() + " back by hand"}
		}
		if err := os.Remove(t.Link); err != nil {
			return fmt.Errorf("remove link: %w", err)
		}
	}
	if err := durable.RenameNew(t.Aside(), t.Link); err != nil {
		return fmt.Errorf("put the folder back: %w", err)
	}
	return durable.SyncFolder(filepath.Dir(t.Link))
}

func makeSpare(t home.Tree) error {
	if err := dropSpare(t); err != nil {
		return err
	}
	if err := os.Symlink(t.Target, spare(t)); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	// The link belongs to whom the folder belongs; CIDX's updater may replace it.
	return durable.OwnAs(spare(t), filepath.Dir(t.Link))
}

// dropSpare removes a link that a killed run left; only ever a link.
func dropSpare(t home.Tree) error {
	info, err := os.Lstat(spare(t))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return problem.Problem{What: "in the way: not a link", At: spare(t), Fix: "move it away"}
	}
	if err == nil {
		err = os.Remove(spare(t))
	}
	if err != nil {
		return fmt.Errorf("remove left-over link: %w", err)
	}
	return nil
}
