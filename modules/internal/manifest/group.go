package manifest

import (
	"cmp"
	"fmt"

	"cidx-cluster/modules/internal/tree"
)

// Flags of an entry in a manifest: what is known of its copy.
const (
	// Copied: the copy was made from the recorded state, or found equal to it by
	// type, size, mode, owner and mtime.
	Copied byte = 1 << iota
	// Verified: contents and attributes of the copy were read back and compared.
	Verified
	// Racy: the source changed so shortly before it was read that a second
	// change within the clock's tick could not be seen; copy again next time.
	Racy
	// Rested, of the folder itself: its group has all of its names, and it had been
	// left alone for so long when they were read that any change since shows in its
	// times.
	Rested
)

// Group is one folder as a manifest keeps it.
type Group struct {
	Stats []byte // the folder's attributes and its entries, see tree.Dir.Encode
	Flags []byte // of the folder itself, then of each entry
}

// All reports whether every flag of want is set for every entry and none of
// without is.
func (g *Group) All(want, without byte) bool {
	for _, f := range g.Flags {
		if f&want != want || f&without != 0 {
			return false
		}
	}
	return true
}

// Has reports whether a flag is set for the folder itself.
func (g *Group) Has(flag byte) bool { return g != nil && len(g.Flags) > 0 && g.Flags[0]&flag != 0 }

// Settled reports whether an entry was copied, and a later change would show.
func (g *Group) Settled(entry int) bool { return g.Flags[entry+1]&(Copied|Racy) == Copied }

// Dir is the folder that a group describes, an empty one for none or a damaged
// one.
func (g *Group) Dir(path string) *tree.Dir {
	if g != nil {
		if d, err := tree.Decode(path, g.Stats); err == nil && len(g.Flags) == len(d.Entries)+1 {
			return d
		}
	}
	return &tree.Dir{Path: path}
}

// An intent says of a folder, before the first byte of it is written, which
// entries the copy will get. It is kept as the folder's group, in which the
// folder itself is not Copied: what an interrupted copy has left is told by it
// from what others have put there.

// Open reports whether a copy of the folder was begun and not recorded as done.
// What the group names may then lie in the copy or not.
func (g *Group) Open() bool { return !g.Has(Copied) }

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
