package files

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// task is one folder under work: what the source has, what the copy is known to
// have, and what is left to do.
type task struct {
	*folder
	now   *tree.Dir
	known *manifest.Group // as the manifest has it
	old   *tree.Dir       // the same; empty for none
	flags []byte          // of the folder, then of each entry
	copy  []int           // entries for rsync
	other []int           // symbolic links
	late  []int           // further names of a file that is copied under another one
	lost  []int           // entries of old that the source has no more
	found map[int]bool    // entries that lay on the share and were not recorded as copied
	moved atomic.Bool     // something changed at the source meanwhile
	later bool            // something is still to be made in it: nothing can be said of the folder itself
}

// open decides what each entry of a folder needs.
func (p *pass) open(f *folder) (*task, error) {
	now, err := f.now()
	if err != nil {
		return nil, err
	}
	known := p.scan.manifest.Group(f.path)
	t := &task{folder: f, now: now, known: known, old: decoded(f.path, known), flags: make([]byte, len(now.Entries)+1)}
	have := &tree.Dir{}
	if f.list {
		copied := p.copiedIn(now) // before the share is read: others are made meanwhile
		if have, err = p.target.dir.ReadDir(f.path); err != nil {
			return nil, fault("read folder", p.target.path(f.path), err)
		}
		if !p.recheck && slices.ContainsFunc(copied, func(name string) bool { return have.Find(name) < 0 }) {
			return nil, fmt.Errorf("read folder %q: %w", p.target.path(f.path), errReplaced)
		}
		p.forgetStrangers(f.path)
		if err := p.strangers(t, have); err != nil {
			return nil, err
		}
	}
	for i := range now.Entries {
		if err := p.decide(t, i, have); err != nil {
			return nil, err
		}
	}
	for i := range t.old.Entries {
		if e := &t.old.Entries[i]; !e.IsDir() && now.Find(e.Name) < 0 {
			t.lost = append(t.lost, i)
		}
	}
	return t, nil
}

// decide sorts one entry into what it needs.
func (p *pass) decide(t *task, i int, have *tree.Dir) error {
	e := &t.now.Entries[i]
	if e.IsDir() {
		t.flags[i+1] = manifest.Copied | manifest.Verified
		return nil
	}
	if p.part.alias(p.part.source, t.path, e) {
		t.flags[i+1] = manifest.Copied | manifest.Verified
		return nil
	}
	if flag, ok := p.recorded(t, e); ok {
		there, err := true, error(nil)
		if t.list {
			there, err = p.present(t, e, have)
		}
		if err != nil || there {
			t.flags[i+1] = flag
			return err
		}
	}
	further, err := p.further(t, i)
	there := false
	if err == nil && !further {
		there, err = p.present(t, e, have)
	}
	switch {
	case further:
		t.late = append(t.late, i)
	case there:
		t.flags[i+1] = manifest.Copied | p.racy(e)
		t.foundThere(i)
	case e.IsSymlink():
		t.other = append(t.other, i)
	default:
		t.copy = append(t.copy, i)
	}
	return err
}

// recorded answers the flags of an entry whose copy the manifest has recorded
// and which has not changed since. ok is false where that is not believed.
func (p *pass) recorded(t *task, e *tree.Entry) (flag byte, ok bool) {
	if (t.made || p.recheck) && !t.again {
		return 0, false
	}
	j := t.old.Find(e.Name)
	if j < 0 || !tree.SameSource(e, &t.old.Entries[j]) {
		return 0, false
	}
	flag = t.known.Flags[j+1]
	if p.reread && !t.again {
		flag &^= manifest.Verified
	}
	return flag, flag&manifest.Copied != 0 && (t.again || flag&manifest.Racy == 0)
}

// further reports whether an entry is a name of a file that is copied under
// another one.
func (p *pass) further(t *task, i int) (bool, error) {
	number := t.of(i).linked
	if number == 0 {
		return false, nil
	}
	first, err := p.scan.links.first(number)
	return first != tree.Join(t.path, t.now.Entries[i].Name), err
}

// foundThere notes that nothing says who has made the copy of an entry: it is
// compared, whatever the operator has asked for.
func (t *task) foundThere(i int) {
	if t.copiedBig(t.now.Entries[i].Name) {
		return
	}
	if t.found == nil {
		t.found = map[int]bool{}
	}
	t.found[i] = true
}

// present reports whether the share has an entry already, to all appearances.
// Where only mode or owner are wrong (a killed run had not come to them), they
// are put right.
func (p *pass) present(t *task, e *tree.Entry, have *tree.Dir) (bool, error) {
	k := have.Find(e.Name)
	if k < 0 || !p.whole(e, &have.Entries[k]) {
		return false, nil
	}
	return true, p.target.settle(tree.Join(t.path, e.Name), e)
}

// whole reports whether a copy is all there, whatever its mode and owner. rsync
// sets the mtime when a file is complete.
func (p *pass) whole(e, c *tree.Entry) bool {
	return e.Type() == c.Type() && (!e.IsRegular() || e.Size == c.Size) && e.Link == c.Link && tree.SameTime(e.Mtime, c.Mtime, p.target.granularity)
}

// racy returns the flag of a file that changed just before it was looked at
// while the server runs.
func (p *pass) racy(e *tree.Entry) byte {
	if p.args.Phase == phaseWarm && e.IsRegular() && e.Ctime > p.scan.started.Add(-racyWindow).UnixNano() {
		return manifest.Racy
	}
	return 0
}

// strangers moves aside what others have put into a folder of the share.
func (p *pass) strangers(t *task, have *tree.Dir) error {
	kept := have.Entries[:0]
	for i := range have.Entries {
		e := have.Entries[i]
		if !p.part.strange(t.path, t.now, t.old, &e) {
			kept = append(kept, e)
			continue
		}
		if err := p.evict(tree.Join(t.path, e.Name)); err != nil {
			return err
		}
	}
	have.Entries = kept
	return nil
}

// done records entries as copied.
func (p *pass) done(t *task, indexes []int, extra byte) {
	for _, i := range indexes {
		t.flags[i+1] = manifest.Copied | extra | p.racy(&t.now.Entries[i])
	}
}

// removeLost takes away what the source has no more, and what stands where a
// folder has become something else or the reverse. Only what the manifest has
// recorded is touched.
func (p *pass) removeLost(t *task) error {
	for _, i := range t.lost {
		path := tree.Join(t.path, t.old.Entries[i].Name)
		if p.part.alias(p.part.target, t.path, &t.old.Entries[i]) {
			continue
		}
		removed, err := p.target.remove(path)
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) && p.isFolder(path) {
			if err := p.evict(path); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fault("remove", p.target.path(path), err)
		}
		if removed {
			p.result.deleted.Add(1)
		}
	}
	return nil
}

func (p *pass) isFolder(path string) bool {
	e, err := p.target.lstat(path)
	return err == nil && e.IsDir()
}

// commit records a folder in the manifest. An entry that is not copied yet is
// recorded without that flag: what there may be of it on the share is ours.
func (p *pass) commit(t *task) error {
	if g := p.scan.manifest.Group(t.path); g != nil && string(g.Stats) == string(t.state) && string(g.Flags) == string(t.flags) {
		return nil
	}
	return p.scan.manifest.Put(t.path, t.state, t.flags)
}
