package mirror

import (
	"bytes"
	"cmp"
	"context"
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

// makeAhead sends the folders of the plan, made on the share, in windows of so
// many that all workers have their share.
func (p *pass) makeAhead(ctx context.Context, windows chan<- []*folder) error {
	var window []*folder
	var weight, size int64
	send := func(last bool) error {
		if err := p.frame.make(ctx, window); err != nil {
			return err
		}
		p.made.Store(last)
		select {
		case windows <- window:
		case <-ctx.Done():
			return ctx.Err()
		}
		window, weight, size = nil, 0, 0
		return nil
	}
	for f, err := range p.scan.plan.folders() {
		if err != nil {
			return err
		}
		window = append(window, f)
		weight += f.weight()
		size += int64(len(f.state))
		if weight >= 2*int64(p.Workers)*p.portion() || size >= cmp.Or(p.Window, largeWindow) {
			if err := send(false); err != nil {
				return err
			}
		}
	}
	return send(true)
}

// Weights of a chunk: measured, a small file costs as much as some 256 KB, and on
// a local disk the start of a process as much as some hundred files.
const (
	bytesPerFile = 256 << 10
	smallChunk   = 64
	localChunk   = 1000
	largeChunk   = 4000
	largeWindow  = 1 << 20   // bytes of the plan, which take some eight times that where they are at work
	largePortion = 256 << 10 // of them
)

func (f *folder) weight() int64 { return 2*f.files + f.bytes/bytesPerFile + 1 }

// portion is the weight of what one process gets.
func (p *pass) portion() int64 {
	least := int64(localChunk)
	if p.Network {
		least = smallChunk
	}
	return min(largeChunk, max(least, p.scan.weight/int64(3*p.Workers)))
}

// portion is work for one process: some folders, or a big file in one.
type portion struct {
	folders []*folder
	big     *big
}

// portions groups neighbouring folders into portions of about the same work. The
// big files of a window come first: their folders wait for them.
func (p *pass) portions(ctx context.Context, windows <-chan []*folder) iter.Seq2[portion, error] {
	return func(yield func(portion, error) bool) {
		for folders := range windows {
			for _, f := range folders {
				list, err := f.large()
				if err != nil {
					yield(portion{}, err)
					return
				}
				f.big = list
				for _, b := range f.big {
					if !yield(portion{[]*folder{f}, b}, nil) {
						return
					}
				}
			}
			var weight, size int64
			start := 0
			for i, f := range folders {
				weight += f.weight()
				size += int64(len(f.state))
				if weight < p.portion() && size < largePortion && i < len(folders)-1 {
					continue
				}
				if !yield(portion{folders: folders[start : i+1]}, ctx.Err()) {
					return
				}
				start, weight, size = i+1, 0, 0
			}
		}
	}
}

// large are the big files of a folder.
func (f *folder) large() (list []*big, err error) {
	var now *tree.Dir
	for entry, s := range f.special {
		if !s.big {
			continue
		}
		if now == nil {
			if now, err = f.now(); err != nil {
				return nil, err
			}
		}
		list = append(list, &big{name: now.Entries[entry].Name, done: make(chan struct{})})
	}
	return list, nil
}
