package files

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// scan is one look at a part's source, compared with what the manifest says was
// copied. It touches the local disk only.
type scan struct {
	part     *part
	root     *tree.Root // the source, while it is looked at
	manifest *manifest.Manifest
	criteria
	started time.Time
	took    time.Duration

	census *census

	mu      sync.Mutex
	plan    plan
	links   *links
	folders int64           // with work
	unsure  int64           // of those, see folder
	weight  int64           // of the plan, see chunked
	repos   map[string]bool // repositories with work of which git knows
	met     int             // folders of the manifest that are there still
	gone    []string        // folders of the manifest that the source has no more; not those in them
	vanish  int64           // entries that were copied once and are gone
	known   int64           // entries that were copied once
	copies  int64           // files to copy
	bytes   int64
	same    int64 // files that need nothing
	samples []sampled
	found   findings
}

// big is a file that is copied by a process of its own, before its folder.
type big struct {
	name   string
	again  bool // its process has not managed: copy it with its folder
	copied bool // by this pass
	done   chan struct{}
}

// bigFile is the size from which a file is copied by itself.
const bigFile = 64 << 20

// racyWindow is how long before it was read a file must have been at rest:
// kernels stamp ctime by a coarse clock, and some file systems by whole seconds.
const racyWindow = 2 * time.Second

// criteria say what a look is for.
type criteria struct {
	want    byte          // flags every entry must have to need no further work
	percent float64       // share of the unchanged files to read once more
	losses  bool          // find what the copy will not have
	dir     string        // for what is too much to keep in memory
	rest    time.Duration // instead of racyWindow, for folders; tests have no time
}

// look scans a part. What it finds replaces part.found.
func look(ctx context.Context, p *part, m *manifest.Manifest, c criteria) (*scan, error) {
	s := &scan{
		criteria: c, found: findings{}, part: p, manifest: m, started: time.Now(), census: newCensus(), plan: plan{dir: c.dir},
		repos: map[string]bool{}, links: &links{numbers: map[inode]uint64{}, paths: plan{dir: c.dir}},
	}
	options := tree.Options{
		Skip: func(dir string, e *tree.Entry) bool {
			why := p.leaveOut(dir, e)
			if why != "" && why != ownPart {
				s.census.omit(tree.Join(dir, e.Name), why)
			}
			return why != ""
		},
		Unreadable: s.census.refuse,
		Known:      s.rested,
		Light:      true,
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
	if err := errors.Join(s.missing(), s.plan.flush()); err != nil {
		return nil, err
	}
	s.took = time.Since(s.started)
	return s, nil
}

// rested is a folder as the manifest knows it, where that has all its names and
// nothing is left to do.
func (s *scan) rested(dir string) *tree.Dir {
	g := s.manifest.Group(dir)
	if g == nil || !g.All(s.want, manifest.Racy) || len(g.Flags) == 0 || g.Flags[0]&manifest.Rested == 0 {
		return nil
	}
	d := decoded(dir, g)
	d.Known = g.Stats
	return d
}

// close gives back the room of what lies in files.
func (s *scan) close() {
	s.plan.close()
	s.links.paths.close()
}

// visit compares one folder with the manifest.
func (s *scan) visit(d *tree.Dir) error {
	s.census.folder(s.part, d)
	s.part.owners.adoptAll(d)
	s.dangling(d)
	special, err := s.peculiar(d)
	if err != nil {
		return err
	}
	state := d.Encode()
	known, same := s.recorded(d, state)
	if same {
		n, samples, found := count(d), s.sample(d), s.find(d, true)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note(d, found)
		s.met++
		s.same += n
		s.known += n
		s.samples = append(s.samples, samples...)
		return nil
	}
	found := s.find(d, false)
	f := &folder{path: d.Path, state: state, special: special, had: known != nil, unsure: known == nil || known.Open()}
	f.rested = !d.Partial && d.Self.Ctime < s.started.Add(-cmp.Or(s.rest, racyWindow)).UnixNano()
	f.puts = f.unsure || string(known.Stats) != string(state) || !known.All(manifest.Copied, manifest.Racy)
	old := decoded(d.Path, known)
	still, large := f.measure(s.part, d, old, known)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(d, found)
	if known != nil {
		s.met++
	}
	s.same += still
	s.known += count(old)
	s.vanish += lost(old, d)
	s.gone = append(s.gone, s.goneIn(old, d)...)
	s.bytes += f.bytes + large
	if s.concernsGit(d, old, known) {
		s.repos[s.part.repository(d.Path)] = true
	}
	return s.add(f)
}

// recorded is what the manifest has of a folder; same: nothing is left to do in it.
func (s *scan) recorded(d *tree.Dir, state []byte) (known *manifest.Group, same bool) {
	if d.Known != nil && string(d.Known) == string(state) {
		return nil, true
	}
	known = s.manifest.Group(d.Path)
	return known, known != nil && string(known.Stats) == string(state) && known.All(s.want, manifest.Racy)
}

// add puts a folder into the plan.
func (s *scan) add(f *folder) error {
	s.folders++
	if f.unsure {
		s.unsure++
	}
	s.copies += f.files
	for _, e := range f.special {
		if e.big {
			s.copies++
		}
	}
	s.weight += f.weight()
	return s.plan.add(f)
}

// note keeps what was found in a folder.
func (s *scan) note(d *tree.Dir, found []finding) {
	if len(found) > 0 {
		s.found[d.Path] = found
	}
}

// peculiar finds hard links and sparse files.
func (s *scan) peculiar(d *tree.Dir) (list []special, err error) {
	for i := range d.Entries {
		e := &d.Entries[i]
		one := special{entry: i, sparse: e.Sparse()}
		if e.IsRegular() && e.Nlink > 1 {
			var known bool
			if one.linked, known, err = s.links.meet(e, tree.Join(d.Path, e.Name)); err != nil {
				return nil, err
			}
			if known {
				s.census.further(e)
			}
		}
		if one.sparse || one.linked > 0 {
			list = append(list, one)
		}
	}
	return list, nil
}

// mode is the folder's mode at the source.
func (f *folder) mode() uint32 {
	mode, _ := binary.Uvarint(f.state) // Encode begins with it
	return uint32(mode)
}

// measure counts what has to be copied in a folder and returns the number of
// files that need not, and the bytes of the big ones.
func (f *folder) measure(p *part, now, old *tree.Dir, known *manifest.Group) (same, large int64) {
	for i := range now.Entries {
		e := &now.Entries[i]
		if !e.IsRegular() {
			continue
		}
		if j := old.Find(e.Name); j >= 0 && tree.SameSource(e, &old.Entries[j]) && known.Settled(j) {
			same++
			continue
		}
		if p.alias(p.source, now.Path, e) {
			continue
		}
		if e.Size >= bigFile && e.Nlink == 1 {
			large += e.Size
			f.markBig(i)
			continue
		}
		f.files++
		f.bytes += e.Size
	}
	return same, large
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
func (s *scan) work() bool { return s.folders > 0 || len(s.gone) > 0 }
