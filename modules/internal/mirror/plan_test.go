package mirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

func TestAPlanIsReadAsItWasWritten(t *testing.T) {
	p := newPlan(t.TempDir())
	defer p.Close()
	for range p.folders() {
		t.Error("an empty plan has a folder")
	}
	var want []*folder
	for i := range 300 {
		f := &folder{
			path: fmt.Sprintf("a/b%d\n", i), state: []byte(strings.Repeat("x", i*7)), unsure: i%2 == 0, had: i%3 == 0, puts: i%5 == 0,
			files: int64(i), bytes: int64(i) << 30,
		}
		for k := range i % 4 {
			f.mark(k*1000, special{sparse: k == 1, linked: uint64(k * 1 << 20)})
		}
		if i%4 == 3 {
			f.mark(500, special{big: true})
			f.mark(2000, special{big: true, linked: 7})
		}
		if err := p.add(f); err != nil {
			t.Fatal(err)
		}
		want = append(want, f)
	}
	if left, err := os.ReadDir(p.dir); err != nil || len(left) > 0 {
		t.Errorf("a name is left: %v, %v", left, err)
	}
	i := 0
	for f, err := range p.folders() {
		if err != nil {
			t.Fatal(err)
		}
		want[i].place = f.place
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

// A folder that cannot be looked at is not gone.
func TestWhatCannotBeLookedAtIsNotGone(t *testing.T) {
	m := manifest.New()
	root, err := tree.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root.Close() // every look fails from now on
	s := &Scan{part: &Part{Source: "/source"}, manifest: m, root: root, Census: NewCensus()}
	if gone, err := s.absent("a/b"); err == nil || gone {
		t.Errorf("gone %v: %v", gone, err)
	}
}

// A look keeps of folders, files and hard links only where they stand.
func TestHardLinksAreNumbered(t *testing.T) {
	source := t.TempDir()
	const files, names = 50, 3
	for i := range files {
		first := fmt.Sprintf("%s/one/%d", source, i)
		must(t, os.MkdirAll(filepath.Dir(first), 0o755))
		must(t, os.WriteFile(first, nil, 0o644))
		for k := range names - 1 {
			name := fmt.Sprintf("%s/%d/%d", source, k, i)
			must(t, os.MkdirAll(filepath.Dir(name), 0o755))
			must(t, os.Link(first, name))
		}
	}
	p := &Part{Source: source, Target: t.TempDir(), Rules: none{}}
	found, err := look(context.Background(), p, manifest.New(), criteria{want: manifest.Copied, dir: t.TempDir()})
	must(t, err)
	defer found.close()
	if n := found.Census.HardLinks; n != files*(names-1) {
		t.Errorf("%d further names, want %d", n, files*(names-1))
	}
	firsts := map[string]int{}
	for number := range found.links.files {
		first, err := found.links.first(uint64(number + 1))
		must(t, err)
		firsts[filepath.Dir(first)]++
	}
	if firsts["0"] != files || len(firsts) != 1 {
		t.Errorf("first names: %v", firsts)
	}
}

// none are rules of nobody's.
type none struct{}

func (none) LeaveOut(string, *tree.Entry) string                            { return "" }
func (none) Apart(string, string, *tree.Entry) bool                         { return false }
func (none) Find(*tree.Root, string, *tree.Entry) (list []manifest.Finding) { return nil }
func (none) Look() Observer                                                 { return none{} }
func (none) Folder(*tree.Dir)                                               {}
func (none) Work(now, old *tree.Dir, done func(int) bool)                   {}
func (none) Touched(string) bool                                            { return false }
