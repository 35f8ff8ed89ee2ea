package cutover

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

// Tree is one tree as it was found.
type Tree struct {
	home.Tree
	State home.LinkState
	Kept  bool // a real folder at <link>.pre-cluster
}

// Look finds the state of a tree.
func Look(t home.Tree) (Tree, error) {
	s := Tree{Tree: t}
	var err error
	if s.State, err = t.LinkState(); err != nil {
		return s, err
	}
	if s.State == home.LinkFolder && mountedThere(t) {
		s.State = home.LinkInPlace
	}
	info, err := os.Lstat(t.Aside())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return s, fmt.Errorf("look at %s: %w", t.Aside(), err)
	case !info.IsDir():
		return s, problem.Problem{What: "in the way: not a folder", At: t.Aside(),
			Fix: "move it away; the cut-over keeps the standalone folder under this name"}
	default:
		s.Kept = true
	}
	return s, nil
}

// LookAt is Look for several trees.
func LookAt(trees []home.Tree) (all []Tree, err error) {
	var problems problem.List
	for _, t := range trees {
		one, err := Look(t)
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

// Link plans how a tree becomes a link; needed is false where it is one.
func Link(t Tree) (s Step, needed bool, err error) {
	move := Step{
		Name:  fmt.Sprintf("rename %s to %s and link it to %s", t.Link, filepath.Base(t.Aside()), t.Target),
		Event: home.ConfigLinked,
		Data:  map[string]any{"link": t.Link, "target": t.Target, "aside": t.Aside()},
		Do:    func() error { return moveAndLink(t.Tree) },
		Undo:  func() error { return moveBack(t.Tree) },
	}
	switch t.State {
	case home.LinkInPlace:
		return Step{}, false, nil
	case home.LinkFolder:
		if t.Kept {
			return Step{}, false, twoFolders(t.Tree)
		}
		return move, true, nil
	case home.LinkMissing:
		if !t.Kept {
			return Step{}, false, problem.Problem{What: "no such folder", At: t.Link,
				Fix: "restore it; the cut-over does not make folders up"}
		}
		move.Name = fmt.Sprintf("link %s to %s (its folder is renamed already)", t.Link, t.Target)
		return move, true, nil
	case home.LinkForeign:
		to, err := os.Readlink(t.Link)
		if err != nil {
			return Step{}, false, fmt.Errorf("read link: %w", err)
		}
		return Step{}, false, problem.Problem{What: fmt.Sprintf("a link to %q, not to %s", to, t.Target), At: t.Link,
			Fix: "replace it by the folder that it leads to, or correct cidx_share"}
	}
	return Step{}, false, problem.Problem{What: "not a folder", At: t.Link, Fix: "move it away and restore the folder"}
}

func twoFolders(t home.Tree) error {
	return problem.Problem{What: "two folders: this one and its backup " + filepath.Base(t.Aside()), At: t.Link,
		Fix: "find out which one holds the server's data, and move the other one away"}
}

// NewLink makes a link where nothing was.
func NewLink(t home.Tree) Step {
	return Step{
		Name: "link " + t.Link + " to " + t.Target, Event: home.ConfigLinked,
		Data: map[string]any{"link": t.Link, "target": t.Target},
		Do: func() error {
			if err := durable.MakeFolder(filepath.Dir(t.Link)); err != nil {
				return err
			}
			return moveAndLink(t)
		},
		Undo: func() error { return unlink(t) },
	}
}

// Unlink removes a link of ours that has no folder set aside.
func Unlink(t home.Tree) Step {
	return Step{
		Name: "remove the link " + t.Link, Event: home.ConfigFreed, Data: map[string]any{"link": t.Link},
		Do: func() error { return unlink(t) },
	}
}

func unlink(t home.Tree) error {
	if err := dropSpare(t); err != nil || Missing(t.Link) {
		return err
	}
	if to, err := os.Readlink(t.Link); err != nil || to != t.Target {
		return problem.Problem{What: fmt.Sprintf("not a link of ours: %q", to), At: t.Link, Fix: "move it away"}
	}
	return Remove(t.Link)
}

// TakeBack is a link that an earlier call has made: only its way back is left.
func TakeBack(t home.Tree) Step {
	return Step{Name: "take the link " + t.Link + " back", Undo: func() error { return moveBack(t) }}
}

// Back plans how a tree's folder comes back; needed is false where none was moved.
func Back(t home.Tree) (s Step, needed bool, err error) {
	back := Step{
		Name:  fmt.Sprintf("remove the link %s and rename %s back", t.Link, t.Aside()),
		Event: home.ConfigFreed, Data: map[string]any{"link": t.Link},
		Do: func() error { return moveBack(t) }, Undo: func() error { return moveAndLink(t) },
	}
	aside, err := os.Lstat(t.Aside())
	if errors.Is(err, fs.ErrNotExist) {
		return Step{}, false, nil // never moved, or linked by somebody else before us
	}
	if err != nil {
		return Step{}, false, fmt.Errorf("look at %s: %w", t.Aside(), err)
	}
	if !aside.IsDir() {
		return Step{}, false, problem.Problem{What: "not a folder", At: t.Aside(),
			Fix: "it should be the standalone folder; find out what happened to it"}
	}
	link, err := os.Lstat(t.Link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return back, true, nil
	case err != nil:
		return Step{}, false, fmt.Errorf("look at %s: %w", t.Link, err)
	case link.IsDir():
		return Step{}, false, twoFolders(t)
	case link.Mode()&fs.ModeSymlink == 0:
		return Step{}, false, problem.Problem{What: "not a link", At: t.Link, Fix: "move it away"}
	}
	if to, err := os.Readlink(t.Link); err != nil || to != t.Target {
		return Step{}, false, problem.Problem{What: fmt.Sprintf("a link to %q, not to %s", to, t.Target), At: t.Link,
			Fix: "if it is ours, name the share in cidx_share; else move it away"}
	}
	return back, true, nil
}

// Leads reports whether a tree is a link to the share, without asking the share.
func Leads(t home.Tree) bool {
	to, err := os.Readlink(t.Link)
	return err == nil && to == t.Target
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
			return problem.Problem{What: fmt.Sprintf("a link to %q, which is not ours", to), At: t.Link,
				Fix: "put " + t.Aside() + " back by hand"}
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
