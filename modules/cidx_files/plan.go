package files

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/tree"
)

// plan is what a look has found to do: the folders with work, each before those
// in it. It lies in a file without a name, since a tree may have millions.
type plan struct {
	dir  string // for the file
	f    *os.File
	w    *bufio.Writer
	size int64
}

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
	special []special // by entry

	// Of the pass that works in it.
	made  bool // we have created it in this pass: what is in it is ours
	list  bool // look what the share has in it
	again bool // all but the further names of hard links was done before
	big   []*big
}

// special is an entry that is copied in another way than most.
type special struct {
	entry  int
	sparse bool
	big    bool
	linked uint64 // number of the file that has several names, from 1 on
}

// add appends a folder.
func (p *plan) add(f *folder) error {
	b := binary.AppendUvarint(nil, uint64(len(f.path)))
	b = append(b, f.path...)
	b = binary.AppendUvarint(b, uint64(len(f.state)))
	b = append(b, f.state...)
	b = append(b, flag(f.unsure)|flag(f.puts)<<1|flag(f.had)<<2|flag(f.rested)<<3)
	b = binary.AppendVarint(b, f.files)
	b = binary.AppendVarint(b, f.bytes)
	b = binary.AppendUvarint(b, uint64(len(f.special)))
	for _, s := range f.special {
		b = binary.AppendUvarint(b, uint64(s.entry))
		b = append(b, flag(s.sparse)|flag(s.big)<<1)
		b = binary.AppendUvarint(b, s.linked)
	}
	return p.write(b)
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

// write appends bytes; the file is made when it is needed first.
func (p *plan) write(b []byte) error {
	if p.f == nil {
		f, err := os.CreateTemp(p.dir, ".plan-*")
		if err == nil {
			p.f, p.w = f, bufio.NewWriterSize(f, 64<<10)
			err = os.Remove(f.Name())
		}
		if err != nil {
			return fmt.Errorf("keep plan of the copy: %w", err)
		}
	}
	n, err := p.w.Write(b)
	p.size += int64(n)
	return p.fault(err)
}

func (p *plan) fault(err error) error {
	if err == nil {
		return nil
	}
	return problem.Problem{What: "keep plan of the copy: " + cause(err).Error(), At: p.dir, Fix: "free space there (about 100 bytes for each file of the repositories), and run again"}
}

// flush has to come between writing and reading.
func (p *plan) flush() error {
	if p.f == nil {
		return nil
	}
	return p.fault(p.w.Flush())
}

// close gives the room back.
func (p *plan) close() {
	if p.f != nil {
		p.f.Close()
		p.f, p.size = nil, 0
	}
}

// folders yields what was added, in that order.
func (p *plan) folders() iter.Seq2[*folder, error] { return p.from(0) }

// at reads one folder.
func (p *plan) at(place int64) (*folder, error) {
	for f, err := range p.from(place) {
		return f, err
	}
	return nil, errors.New("read plan of the copy: no such folder")
}

func (p *plan) from(place int64) iter.Seq2[*folder, error] {
	return func(yield func(*folder, error) bool) {
		if p.f == nil {
			return
		}
		r := &planReader{in: bufio.NewReaderSize(io.NewSectionReader(p.f, place, p.size-place), 64<<10), place: place}
		for r.place < p.size {
			f := r.folder()
			if !yield(f, r.err) || r.err != nil {
				return
			}
		}
	}
}

type planReader struct {
	in    *bufio.Reader
	place int64
	err   error
}

func (r *planReader) ReadByte() (byte, error) {
	b, err := r.in.ReadByte()
	r.place++
	return b, err
}

func (r *planReader) uvarint() uint64 {
	v, err := binary.ReadUvarint(r)
	r.failed(err)
	return v
}

func (r *planReader) varint() int64 {
	v, err := binary.ReadVarint(r)
	r.failed(err)
	return v
}

func (r *planReader) byte() byte {
	b, err := r.ReadByte()
	r.failed(err)
	return b
}

func (r *planReader) bytes() []byte {
	n := r.uvarint()
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r.in, b)
	r.failed(err)
	r.place += int64(n)
	return b
}

func (r *planReader) failed(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("read plan of the copy: %w", err)
	}
}

func (r *planReader) folder() *folder {
	f := &folder{place: r.place}
	f.path = string(r.bytes())
	f.state = r.bytes()
	flags := r.byte()
	f.unsure, f.puts, f.had, f.rested = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	f.files, f.bytes = r.varint(), r.varint()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		s := special{entry: int(r.uvarint())}
		flags := r.byte()
		s.sparse, s.big, s.linked = flags&1 != 0, flags&2 != 0, r.uvarint()
		f.special = append(f.special, s)
	}
	return f
}

// of is what is special of an entry.
func (f *folder) of(entry int) special {
	if i, ok := f.find(entry); ok {
		return f.special[i]
	}
	return special{entry: entry}
}

func (f *folder) find(entry int) (i int, ok bool) {
	return slices.BinarySearchFunc(f.special, entry, func(s special, entry int) int { return s.entry - entry })
}

// markBig marks an entry as big.
func (f *folder) markBig(entry int) {
	i, ok := f.find(entry)
	if !ok {
		f.special = slices.Insert(f.special, i, special{entry: entry})
	}
	f.special[i].big = true
}

// now is the folder as the source is now.
func (f *folder) now() (*tree.Dir, error) {
	d, err := tree.Decode(f.path, f.state)
	if err != nil {
		return nil, fmt.Errorf("read plan of %q: %w", f.path, err)
	}
	return d, nil
}

// decoded returns the folder that a group describes, an empty one for none or a
// damaged one.
func decoded(path string, g *manifest.Group) *tree.Dir {
	if g != nil {
		if d, err := tree.Decode(path, g.Stats); err == nil && len(g.Flags) == len(d.Entries)+1 {
			return d
		}
	}
	return &tree.Dir{Path: path}
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
