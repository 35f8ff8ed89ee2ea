package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

func TestAPlanIsReadAsItWasWritten(t *testing.T) {
	p := plan{dir: t.TempDir()}
	defer p.close()
	for range p.folders() {
		t.Error("an empty plan has a folder")
	}
	var want []*folder
	for i := range 300 {
		f := &folder{
			place: p.size, path: fmt.Sprintf("a/b%d\n", i), state: []byte(strings.Repeat("x", i*7)), unsure: i%2 == 0, had: i%3 == 0, puts: i%5 == 0,
			files: int64(i), bytes: int64(i) << 30,
		}
		for k := range i % 4 {
			f.special = append(f.special, special{entry: k * 1000, sparse: k == 1, linked: uint64(k * 1 << 20)})
		}
		if i%4 == 3 {
			f.markBig(500)
			f.markBig(2000)
		}
		if err := p.add(f); err != nil {
			t.Fatal(err)
		}
		want = append(want, f)
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(p.dir); err != nil || len(left) > 0 {
		t.Errorf("a name is left: %v, %v", left, err)
	}
	i := 0
	for f, err := range p.folders() {
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[i], f, cmp.AllowUnexported(folder{}, special{})); diff != "" {
			t.Fatal(diff)
		}
		if i++; i%50 == 0 {
			again, err := p.at(f.place)
			if diff := cmp.Diff(f, again, cmp.AllowUnexported(folder{}, special{})); err != nil || diff != "" {
				t.Fatal(err, diff)
			}
		}
	}
	if i != len(want) {
		t.Errorf("%d folders of %d", i, len(want))
	}
}

// After damage to the manifest a folder may be recorded that the record of no
// other names: what was copied of it and is gone at the source has to go, too.
func TestAStrayRecordIsFollowed(t *testing.T) {
	s := newServer(t)
	s.write(repo+"old/deep/er/x", "x")
	s.must(phaseDelta)
	s.do(os.RemoveAll(s.path(repo + "old")))
	m, err := manifest.Open(s.args(phaseDelta).State().Manifest("golden-repos"))
	s.do(err)
	for _, lost := range []string{"flask", "flask/old/deep"} {
		s.do(m.Drop(lost))
	}
	s.do(m.Close())
	s.must(phaseDelta)
	s.mustEqual()
	if _, err := os.Lstat(filepath.Join(s.share, "golden-repos/flask/old")); err == nil {
		t.Error("the folder is there still")
	}
}

// Such records may lie in each other without naming each other.
func TestStrayRecordsInEachOtherAreFollowed(t *testing.T) {
	s := newServer(t)
	s.write(repo+"old/deep/er/x", "x")
	s.must(phaseDelta)
	s.do(os.RemoveAll(s.path(repo + "old")))
	m, err := manifest.Open(s.args(phaseDelta).State().Manifest("golden-repos"))
	s.do(err)
	s.do(m.Drop("flask"))
	for _, path := range []string{"flask/old", "flask/old/deep"} { // they know of no folder in them
		d := &tree.Dir{Path: path, Self: tree.Entry{Mode: unix.S_IFDIR | 0o755}}
		s.do(m.Put(path, d.Encode(), []byte{manifest.Copied}))
	}
	s.do(m.Close())
	r := s.must(phaseDelta)
	s.mustEqual()
	if aside := r.Data["aside"].([]string); len(aside) > 0 {
		t.Errorf("moved aside: %q", aside)
	}
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a further pass says changed")
	}
}

// A folder that cannot be looked at is not gone.
func TestWhatCannotBeLookedAtIsNotGone(t *testing.T) {
	m := manifest.New()
	root, err := tree.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root.Close() // every look fails from now on
	s := &scan{part: &part{source: "/source"}, manifest: m, root: root, census: newCensus()}
	if gone, err := s.absent("a/b"); err == nil || gone {
		t.Errorf("gone %v: %v", gone, err)
	}
}

// A look keeps of folders, files and hard links only where they stand.
func TestHardLinksAreNumbered(t *testing.T) {
	s := newServer(t)
	const files, names = 50, 3
	for i := range files {
		s.write(fmt.Sprintf("%sone/%d", repo, i), fmt.Sprint(i))
		for k := range names - 1 {
			name := s.path(fmt.Sprintf("%s%d/%d", repo, k, i))
			s.do(os.MkdirAll(filepath.Dir(name), 0o755))
			s.do(os.Link(s.path(fmt.Sprintf("%sone/%d", repo, i)), name))
		}
	}
	p := &part{name: "golden-repos", source: s.path("data/golden-repos"), target: s.share}
	found, err := look(context.Background(), p, manifest.New(), criteria{want: manifest.Copied, dir: t.TempDir()})
	s.do(err)
	defer found.close()
	if n := found.census.HardLinks; n != files*(names-1) {
		t.Errorf("%d further names, want %d", n, files*(names-1))
	}
	firsts := map[string]int{}
	for number := range found.links.files {
		first, err := found.links.first(uint64(number + 1))
		s.do(err)
		firsts[filepath.Dir(first)]++
	}
	if firsts["flask/0"] != files || len(firsts) != 1 {
		t.Errorf("first names: %v", firsts)
	}
}
