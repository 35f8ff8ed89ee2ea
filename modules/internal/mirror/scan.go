package mirror

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

// Scan is one look at a part's source, compared with what the manifest says was
// copied. It touches the local disk only.
type Scan struct {
	Census   *Census
	Seen     Observer
	Took     time.Duration
	Copies   int64 // files to copy
	Bytes    int64
	Same     int64 // files that need nothing
	Known    int64 // entries that were copied once
	Vanished int64 // of those, entries that are gone
	Unsure   int64 // folders with work of which nothing says what is on the share

	criteria
	part     *Part
	root     *tree.Root // the source, while it is looked at
	manifest *manifest.Manifest
	started  time.Time

	mu      sync.Mutex
	plan    plan
	links   *links
	folders int64    // with work
	weight  int64    // of the plan, see portion
	gone    []string // folders of the manifest that the source has no more
	samples []sampled
	found   manifest.Findings
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

// criteria say what a look is for.
type criteria struct {
	want    byte          // flags every entry must have to need no further work
	percent float64       // share of the unchanged files to read once more
	dir     string        // for what is too much to keep in memory
	rest    time.Duration // instead of racyWindow, for folders; tests have no time
}

// look scans a part. What it finds replaces part.Found.
func look(ctx context.Context, p *Part, m *manifest.Manifest, c criteria) (*Scan, error) {
	s := &Scan{
		criteria: c, part: p, manifest: m, started: time.Now(), Census: NewCensus(), Seen: p.Rules.Look(), found: manifest.Findings{},
		plan: newPlan(c.dir), links: &links{numbers: map[inode]uint64{}, paths: newPlan(c.dir)},
	}
	options := tree.Options{
		Skip: func(dir string, e *tree.Entry) bool {
			why := p.leaveOut(dir, e)
			if why != "" && why != Own {
				s.Census.omit(tree.Join(dir, e.Name), why)
			}
			return why != ""
		},
		Unreadable: s.Census.refuse,
		Known:      s.rested,
		Light:      true,
	}
	root, err := tree.Open(p.Source)
	if err == nil {
		defer root.Close()
		s.root = root
		err = tree.Walk(ctx, p.Source, options, s.visit)
	}
	if errors.Is(err, fs.ErrNotExist) && p.Inside {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	p.Found = s.found
	s.Census.Extended = int64(len(s.found.Of(Attributes)))
	if err := errors.Join(s.missing(), s.plan.fault(s.plan.Flush())); err != nil {
		return nil, err
	}
	s.Took = time.Since(s.started)
	return s, nil
}

// rested is a folder as the manifest knows it, where that has all its names and
// nothing is left to do.
func (s *Scan) rested(dir string) *tree.Dir {
	g := s.manifest.Group(dir)
	if !g.Has(manifest.Rested) || !g.All(s.want, manifest.Racy) {
		return nil
	}
	return g.Dir(dir)
}

// close gives back the room of what lies in files.
func (s *Scan) close() {
	s.plan.Close()
	s.links.paths.Close()
}

// visit compares one folder with the manifest.
func (s *Scan) visit(d *tree.Dir) error {
	s.manifest.Meet(d.Path)
	s.Census.folder(s.part, d)
	s.Seen.Folder(d)
	s.part.Owners.adoptAll(d)
	s.dangling(d)
	f := &folder{path: d.Path}
	if err := s.peculiar(f, d); err != nil {
		return err
	}
	known, same := s.recorded(f, d)
	if same {
		n, samples, found := count(d), s.sample(d), s.find(d, true)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note(d, found)
		s.Same += n
		s.Known += n
		s.samples = append(s.samples, samples...)
		return nil
	}
	found := s.find(d, false)
	f.had, f.unsure = known != nil, known == nil || known.Open()
	f.rested = !d.Partial && d.Self.Ctime < s.started.Add(-cmp.Or(s.rest, racyWindow)).UnixNano()
	f.puts = f.unsure || string(known.Stats) != string(f.state) || !known.All(manifest.Copied, manifest.Racy)
	old := known.Dir(d.Path)
	still, large := f.measure(s.part, d, old, known)
	s.Seen.Work(d, old, func(k int) bool { return known.Flags[k+1]&s.want == s.want && known.Settled(k) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(d, found)
	s.Same += still
	s.Known += count(old)
	s.Vanished += lost(old, d)
	s.Bytes += f.bytes + large
	return s.add(f)
}

// recorded is what the manifest has of a folder; same: nothing is left to do in it.
func (s *Scan) recorded(f *folder, d *tree.Dir) (known *manifest.Group, same bool) {
	if d.Same {
		return nil, true
	}
	f.state, known = d.Encode(), s.manifest.Group(d.Path)
	return known, known != nil && string(known.Stats) == string(f.state) && known.All(s.want, manifest.Racy)
}

// add puts a folder into the plan.
func (s *Scan) add(f *folder) error {
	s.folders++
	if f.unsure {
		s.Unsure++
	}
	s.Copies += f.files
	for _, e := range f.special {
		if e.big {
			s.Copies++
		}
	}
	s.weight += f.weight()
	return s.plan.add(f)
}

// note keeps what was found in a folder.
func (s *Scan) note(d *tree.Dir, found []manifest.Finding) {
	if len(found) > 0 {
		s.found[d.Path] = found
	}
}

// peculiar finds hard links and sparse files.
func (s *Scan) peculiar(f *folder, d *tree.Dir) error {
	for i := range d.Entries {
		e := &d.Entries[i]
		one := special{sparse: e.Sparse()}
		if e.IsRegular() && e.Nlink > 1 {
			number, known, err := s.links.meet(e, tree.Join(d.Path, e.Name))
			if err != nil {
				return err
			}
			if one.linked = number; known {
				s.Census.further(e)
			}
		}
		if one.sparse || one.linked > 0 {
			f.mark(i, one)
		}
	}
	return nil
}

// mode is the folder's mode at the source.
func (f *folder) mode() uint32 {
	mode, _ := binary.Uvarint(f.state) // Encode begins with it
	return uint32(mode)
}

// measure counts what has to be copied in a folder and returns the number of
// files that need not, and the bytes of the big ones.
func (f *folder) measure(p *Part, now, old *tree.Dir, known *manifest.Group) (same, large int64) {
	for i := range now.Entries {
		e := &now.Entries[i]
		if !e.IsRegular() {
			continue
		}
		if j := old.Find(e.Name); j >= 0 && tree.SameSource(e, &old.Entries[j]) && known.Settled(j) {
			same++
			continue
		}
		if p.Rules.Apart(p.Source, now.Path, e) {
			continue
		}
		if e.Size >= bigFile && e.Nlink == 1 {
			large += e.Size
			f.mark(i, special{big: true, sparse: e.Sparse()})
			continue
		}
		f.files++
		f.bytes += e.Size
	}
	return same, large
}

// dangling counts symbolic links inside the part whose target is missing. Links
// that leave it are not followed: they may lead to a dead mount.
func (s *Scan) dangling(d *tree.Dir) {
	for i := range d.Entries {
		e := &d.Entries[i]
		if !e.IsSymlink() || strings.HasPrefix(e.Link, "/") || leaves(d.Path, e.Link) {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.part.Source, d.Path, e.Name)); errors.Is(err, fs.ErrNotExist) {
			s.Census.mu.Lock()
			s.Census.Dangling++
			s.Census.mu.Unlock()
		}
	}
}
