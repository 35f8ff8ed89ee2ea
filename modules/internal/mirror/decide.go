package mirror

import (
	"time"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// racyWindow is how long before it was read a file must have been at rest:
// kernels stamp ctime by a coarse clock, and some file systems by whole seconds.
const racyWindow = 2 * time.Second

// decider says what each entry of a folder needs. It looks at nothing but what it
// is given.
type decider struct {
	*sides
	links   *links
	recheck bool  // what the manifest says of the copy is not believed
	reread  bool  // everything is compared again
	late    int64 // a file that changed since then may change unseen, in ns since 1970; 0: none does
}

// decide sorts the entries of a folder: what the source has now, what the copy is
// known to have, and, where the folder was listed, what the share has.
func (d *decider) decide(f *folder, now *tree.Dir, known *manifest.Group, have *tree.Dir) (*task, error) {
	t := &task{folder: f, now: now, known: known, old: known.Dir(f.path), flags: make([]byte, len(now.Entries)+1)}
	for i := range now.Entries {
		if err := d.entry(t, i, have); err != nil {
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

// entry sorts one entry into what it needs.
func (d *decider) entry(t *task, i int, have *tree.Dir) error {
	e := &t.now.Entries[i]
	if e.IsDir() || d.part.Rules.Apart(d.part.Source, t.path, e) {
		t.flags[i+1] = manifest.Copied | manifest.Verified
		return nil
	}
	k := have.Find(e.Name)
	there := k >= 0 && d.whole(e, &have.Entries[k])
	flag, recorded := d.recorded(t, e)
	if recorded && !t.list {
		t.flags[i+1] = flag
		return nil
	}
	further, err := false, error(nil)
	if !recorded || !there {
		further, err = d.further(t, i)
	}
	switch {
	case recorded && there:
		t.flags[i+1] = flag
		t.there = append(t.there, i)
	case further:
		t.late = append(t.late, i)
	case there:
		t.flags[i+1] = manifest.Copied | d.racy(e)
		t.there = append(t.there, i)
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
func (d *decider) recorded(t *task, e *tree.Entry) (flag byte, ok bool) {
	if (t.made || d.recheck) && !t.again {
		return 0, false
	}
	j := t.old.Find(e.Name)
	if j < 0 || !tree.SameSource(e, &t.old.Entries[j]) {
		return 0, false
	}
	flag = t.known.Flags[j+1]
	if d.reread && !t.again {
		flag &^= manifest.Verified
	}
	return flag, flag&manifest.Copied != 0 && (t.again || flag&manifest.Racy == 0)
}

// further reports whether an entry is a name of a file that is copied under
// another one.
func (d *decider) further(t *task, i int) (bool, error) {
	number := t.special[i].linked
	if number == 0 {
		return false, nil
	}
	first, err := d.links.first(number)
	return first != tree.Join(t.path, t.now.Entries[i].Name), err
}

// racy returns the flag of a file that changed just before it was looked at
// while the server runs.
func (d *decider) racy(e *tree.Entry) byte {
	if d.late != 0 && e.IsRegular() && e.Ctime > d.late {
		return manifest.Racy
	}
	return 0
}
