package mirror

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/share"
	"cidx-cluster/modules/internal/tree"
)

// plan is what a look has found to do: the folders with work, each before those
// in it. It lies in a file without a name, since a tree may have millions.
type plan struct {
	*manifest.Spool
	dir string // of the file
}

func newPlan(dir string) plan { return plan{manifest.NewSpool(dir), dir} }

// folder is one folder with work to do.
type folder struct {
	place   int64 // in the plan
	path    string
	state   []byte // as the source is now, tree.Dir.Encode
	unsure  bool   // nothing says which entries of it are on the share: never copied, or a copy was interrupted
	had     bool   // the manifest has something of it
	rested  bool   // see manifest.Rested
	puts    bool   // its copy may get entries that are not recorded as copied
	files   int64  // to copy, without the big ones
	bytes   int64
	special map[int]special // by entry

	// Of the pass that works in it.
	made  bool // we have created it in this pass: what is in it is ours
	list  bool // look what the share has in it
	again bool // all but the further names of hard links was done before
	big   []*big
}

// special is an entry that is copied in another way than most.
type special struct {
	sparse bool
	big    bool
	linked uint64 // number of the file that has several names, from 1 on
}

// add appends a folder.
func (p plan) add(f *folder) error {
	b := []byte{flag(f.unsure) | flag(f.puts)<<1 | flag(f.had)<<2 | flag(f.rested)<<3}
	b = binary.AppendUvarint(b, uint64(f.files))
	b = binary.AppendUvarint(b, uint64(f.bytes))
	for entry, s := range f.special {
		b = binary.AppendUvarint(b, uint64(entry))
		b = append(b, flag(s.sparse)|flag(s.big)<<1)
		b = binary.AppendUvarint(b, s.linked)
	}
	_, err := p.Add(f.path, f.state, b)
	return p.fault(err)
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// fault is an error of writing with its remedy.
func (p plan) fault(err error) error {
	if err == nil {
		return nil
	}
	return problem.Problem{
		What: "keep plan of the copy: " + share.Cause(err).Error(), At: p.dir,
		Fix: "free space there (about 100 bytes for each file of the repositories), and run again",
	}
}

// mark says what is special of an entry.
func (f *folder) mark(entry int, s special) {
	if f.special == nil {
		f.special = map[int]special{}
	}
	f.special[entry] = s
}

// folderOf is the folder that a record of the plan describes.
func folderOf(place int64, path string, g *manifest.Group) (*folder, error) {
	f := &folder{place: place, path: path, state: g.Stats}
	r := bytes.NewReader(g.Flags)
	var err error
	next := func() uint64 {
		v, failed := binary.ReadUvarint(r)
		err = errors.Join(err, failed)
		return v
	}
	flags := next()
	f.unsure, f.puts, f.had, f.rested = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	f.files, f.bytes = int64(next()), int64(next())
	for r.Len() > 0 && err == nil {
		entry, flags := int(next()), next()
		f.mark(entry, special{sparse: flags&1 != 0, big: flags&2 != 0, linked: next()})
	}
	return f, unread(err)
}

func unread(err error) error {
	if err != nil {
		err = fmt.Errorf("read plan of the copy: %w", err)
	}
	return err
}

// folders yields what was added, in that order.
func (p plan) folders() iter.Seq2[*folder, error] {
	return func(yield func(*folder, error) bool) {
		enough := errors.New("enough")
		err := p.Each(func(place int64, path string, g *manifest.Group) error {
			if f, err := folderOf(place, path, g); !yield(f, err) || err != nil {
				return enough
			}
			return nil
		})
		if err != nil && err != enough {
			yield(nil, unread(err))
		}
	}
}

// at reads one folder.
func (p plan) at(place int64) (*folder, error) {
	path, g, err := p.At(place)
	if err != nil {
		return nil, unread(err)
	}
	return folderOf(place, path, g)
}

// now is the folder as the source is now.
func (f *folder) now() (*tree.Dir, error) {
	d, err := tree.Decode(f.path, f.state)
	if err != nil {
		return nil, fmt.Errorf("read plan of %q: %w", f.path, err)
	}
	return d, nil
}

// count is the number of files and links of a folder.
func count(d *tree.Dir) (n int64) {
	for i := range d.Entries {
		if !d.Entries[i].IsDir() {
			n++
		}
	}
	return n
}
