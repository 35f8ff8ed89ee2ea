package manifest

import (
	"cmp"
	"fmt"

	"cidx-cluster/modules/internal/tree"
)

// An intent says of a folder, before the first byte of it is written, which
// entries the copy will get. It is kept as the folder's group, in which the
// folder itself is not Copied: what an interrupted copy has left is told by it
// from what others have put there.

// Open reports whether a copy of the folder was begun and not recorded as done.
// What the group names may then lie in the copy or not.
func (g *Group) Open() bool { return len(g.Flags) == 0 || g.Flags[0]&Copied == 0 }

// Intend records that a folder's copy is about to get the entries of state, as
// Dir.Encode has it. What is kept of the folder stays in the record until the
// next Put: copies that are about to be removed are there still. The intent
// outlives a power cut only after Sync.
func (m *Manifest) Intend(path string, state []byte) error {
	now, err := tree.Decode(path, state)
	if err != nil {
		return fmt.Errorf("record intent: %q: %w", path, err)
	}
	flags := make([]byte, len(now.Entries)+1)
	if g := m.Group(path); g != nil {
		if old, err := tree.Decode(path, g.Stats); err == nil && len(g.Flags) == len(old.Entries)+1 {
			now, flags = union(old, now, g.Flags)
			state = now.Encode()
		}
	}
	return m.Put(path, state, flags)
}

// union is a folder with the entries of both, and the flags of those that are
// copied as they are now.
func union(old, now *tree.Dir, known []byte) (*tree.Dir, []byte) {
	all := &tree.Dir{Path: now.Path, Self: now.Self}
	flags := []byte{0}
	i, j := 0, 0
	for i < len(old.Entries) || j < len(now.Entries) {
		order := 0
		switch {
		case i == len(old.Entries):
			order = 1
		case j == len(now.Entries):
			order = -1
		default:
			order = cmp.Compare(old.Entries[i].Name, now.Entries[j].Name)
		}
		flag := byte(0)
		if order < 0 || order == 0 && tree.SameSource(&old.Entries[i], &now.Entries[j]) {
			flag = known[i+1]
		}
		flags = append(flags, flag)
		if order >= 0 {
			all.Entries = append(all.Entries, now.Entries[j])
			j++
		} else {
			all.Entries = append(all.Entries, old.Entries[i])
		}
		if order <= 0 {
			i++
		}
	}
	return all, flags
}
