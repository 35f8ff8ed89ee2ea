package files

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"cidx-cluster/modules/internal/tree"
)

// scan is one look at a part's source, compared with what the manifest says was
// copied. It touches the local disk only.
type scan struct {
	part     *part
	root     *tree.Root // the source, while it is looked at
	manifest *tree.Manifest
	criteria
	started time.Time
	took    time.Duration

	census *census

	mu      sync.Mutex
	folders []*folder // those with work, by path
	gone    []string  // folders of the manifest that the source has no more
	vanish  int64     // entries that were copied once and are gone
	known   int64     // entries that were copied once
	copies  int64     // files to copy
	bytes   int64
	same    int64 // files that need nothing
	links   map[inode]*names
	holes   map[name]bool // sparse files
	samples []sampled
	found   findings
}

// folder is one folder with work to do.
type folder struct {
	path    string
	state   []byte      // as the source is now, tree.Dir.Encode
	known   *tree.Group // as the manifest has it; nil: never copied
	made    bool        // we have created it in this pass: what is in it is ours
	list    bool        // look what the share has in it
	entries int         // that the source has in it
	files   int64       // to copy, without the big ones
	bytes   int64
	big     []*big
}

// big is a file that is copied by a process of its own, before its folder.
type big struct {
	name   string
	size   int64
	again  bool // its process has not managed: copy it with its folder
	copied bool // by this pass
}

// bigFile is the size from which a file is copied by itself.
const bigFile = 64 << 20

// names are those of one file that has several.
type names struct {
	total uint64 // as the file system counts them, wherever they are
	here  []name
}

// name is one name of a file that has several.
type name struct {
	dir  string
	name string
}

// racyWindow is how long before it was read a file must have been at rest:
// kernels stamp ctime by a coarse clock, and some file systems by whole seconds.
const racyWindow = 2 * time.Second

// criteria say what a look is for.
type criteria struct {
	want    byte    // flags every entry must have to need no further work
	percent float64 // share of the unchanged files to read once more
	losses  bool    // find what the copy will not have
}

// look scans a part. What it finds replaces part.found.
func look(ctx context.Context, p *part, m *tree.Manifest, c criteria) (*scan, error) {
	s := &scan{criteria: c, found: findings{}, part: p, manifest: m, started: time.Now(), census: newCensus(), links: map[inode]*names{}, holes: map[name]bool{}}
	options := tree.Options{
		Skip: func(dir string, e *tree.Entry) bool {
			why := p.leaveOut(dir, e)
			if why != "" && why != ownPart {
				s.census.omit(tree.Join(dir, e.Name), why)
			}
			return why != ""
		},
		Unreadable: s.census.refuse,
	}
	root, err := tree.Open(p.source)
	if err == nil {
		defer root.Close()
		s.root = root
		err = tree.Walk(ctx, p.source, options, s.visit)
	}
	if errors.Is(err, fs.ErrNotExist) && p.inside {
		// A server that has never refreshed a repository has no snapshots.
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if s.losses {
		p.found = s.found
		s.census.Extended = int64(len(s.found.of(findAttributes)))
	}
	s.missing()
	slices.SortFunc(s.folders, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	s.took = time.Since(s.started)
	return s, nil
}

// visit compares one folder with the manifest.
func (s *scan) visit(d *tree.Dir) error {
	s.census.folder(s.part, d)
	s.part.owners.adoptAll(d)
	s.dangling(d)
	state := d.Encode()
	known := s.manifest.See(d.Path)
	if known != nil && string(known.Stats) == string(state) && known.All(s.want, tree.Racy) {
		n, samples, found := count(d), s.sample(d), s.find(d, true)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note(d, found)
		s.same += n
		s.known += n
		s.samples = append(s.samples, samples...)
		s.peculiar(d)
		return nil
	}
	found := s.find(d, false)
	f := &folder{path: d.Path, state: state, known: known, entries: len(d.Entries)}
	old := decoded(d.Path, known)
	same := f.measure(s.part, d, old)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(d, found)
	s.same += same
	s.known += count(old)
	s.vanish += lost(old, d)
	s.folders = append(s.folders, f)
	s.copies += f.files + int64(len(f.big))
	s.bytes += f.bytes
	for _, b := range f.big {
		s.bytes += b.size
	}
	s.peculiar(d)
	return nil
}

// note keeps what was found in a folder.
func (s *scan) note(d *tree.Dir, found []finding) {
	if len(found) > 0 {
		s.found[d.Path] = found
	}
}

// peculiar notes hard links and sparse files.
func (s *scan) peculiar(d *tree.Dir) {
	for i := range d.Entries {
		e := &d.Entries[i]
		if e.IsRegular() && e.Nlink > 1 {
			key := inode{e.Dev, e.Ino}
			if s.links[key] == nil {
				s.links[key] = &names{total: e.Nlink}
			}
			s.links[key].here = append(s.links[key].here, name{d.Path, e.Name})
		}
		if e.Sparse() {
			s.holes[name{d.Path, e.Name}] = true
		}
	}
}

// mode is the folder's mode at the source.
func (f *folder) mode() uint32 {
	mode, _ := binary.Uvarint(f.state) // Encode begins with it
	return uint32(mode)
}

// measure counts what has to be copied in a folder and returns the number of
// files that need not.
func (f *folder) measure(p *part, now, old *tree.Dir) (same int64) {
	for i := range now.Entries {
		e := &now.Entries[i]
		if !e.IsRegular() {
			continue
		}
		if j := old.Find(e.Name); j >= 0 && tree.SameSource(e, &old.Entries[j]) && f.known.Flags[j+1]&tree.Copied != 0 && f.known.Flags[j+1]&tree.Racy == 0 {
			same++
			continue
		}
		if p.alias(p.source, now.Path, e) {
			continue
		}
		if e.Size >= bigFile && e.Nlink == 1 {
			f.big = append(f.big, &big{name: e.Name, size: e.Size})
			continue
		}
		f.files++
		f.bytes += e.Size
	}
	return same
}

// missing finds the folders that are gone.
func (s *scan) missing() {
	s.gone = s.manifest.Unseen()
	slices.Sort(s.gone)
	for _, path := range s.gone {
		g := s.manifest.Group(path)
		n := count(decoded(path, g))
		s.known += n
		s.vanish += n
	}
}

// dangling counts symbolic links inside the part whose target is missing. Links
// that leave it are not followed: they may lead to a dead mount.
func (s *scan) dangling(d *tree.Dir) {
	for i := range d.Entries {
		e := &d.Entries[i]
		if !e.IsSymlink() || strings.HasPrefix(e.Link, "/") || strings.HasPrefix(filepath.Join(d.Path, e.Link), "..") {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.part.source, d.Path, e.Name)); errors.Is(err, fs.ErrNotExist) {
			s.census.mu.Lock()
			s.census.Dangling++
			s.census.mu.Unlock()
		}
	}
}

// work reports whether there is anything to do.
func (s *scan) work() bool { return len(s.folders) > 0 || len(s.gone) > 0 }

// sparse reports whether a file of the source has holes.
func (s *scan) sparse(dir, file string) bool { return s.holes[name{dir, file}] }

// decoded returns the folder that a group describes, an empty one for none or a
// damaged one.
func decoded(path string, g *tree.Group) *tree.Dir {
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

// lost is the number of files and links of a folder's record that now lacks.
// Those that an interrupted pass was about to copy count like those that it has
// copied: else little would seem to have been there.
func lost(old, now *tree.Dir) (n int64) {
	for i := range old.Entries {
		if e := &old.Entries[i]; !e.IsDir() && now.Find(e.Name) < 0 {
			n++
		}
	}
	return n
}
