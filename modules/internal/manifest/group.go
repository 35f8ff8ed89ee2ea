package manifest

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

// Settled reports whether an entry was copied, and a later change would show.
func (g *Group) Settled(entry int) bool { return g.Flags[entry+1]&(Copied|Racy) == Copied }
