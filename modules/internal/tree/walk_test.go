package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/sys/unix"
)

// walked lists what Walk visits.
func walked(t *testing.T, root string, o Options) []string {
	t.Helper()
	var mu sync.Mutex
	var list []string
	err := Walk(context.Background(), root, o, func(d *Dir) error {
		mu.Lock()
		defer mu.Unlock()
		if !slices.IsSortedFunc(d.Entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("entries of %q are not sorted", d.Path)
		}
		list = append(list, d.Path+"/")
		for _, e := range d.Entries {
			if !e.IsDir() {
				list = append(list, Join(d.Path, e.Name))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestWalkSeesEverythingOnce(t *testing.T) {
	root := t.TempDir()
	want := []string{"/"}
	for i := range 30 {
		dir := fmt.Sprintf("d%d/n\n%d/\xff%d", i%3, i%5, i)
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "file"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, dir+"/", dir+"/file", filepath.Dir(dir)+"/", filepath.Dir(filepath.Dir(dir))+"/")
	}
	if err := os.Symlink(root, filepath.Join(root, "loop")); err != nil {
		t.Fatal(err)
	}
	want = append(want, "loop")
	slices.Sort(want)
	want = slices.Compact(want)
	if got := walked(t, root, Options{}); !slices.Equal(got, want) {
		t.Errorf("walked %q, want %q", got, want)
	}
	skip := Options{Skip: func(dir string, e *Entry) bool { return dir == "" && e.Name == "d1" }}
	for _, path := range walked(t, root, skip) {
		if strings.HasPrefix(path, "d1/") {
			t.Errorf("%q was skipped and still visited", path)
		}
	}
}

func TestWalkReadsAFolderLargerThanItsBuffer(t *testing.T) {
	root := t.TempDir()
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("%0100d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := walked(t, root, Options{}); len(got) != 2001 {
		t.Errorf("%d entries, want 2001", len(got))
	}
}

func TestWalkEndsWithTheFirstError(t *testing.T) {
	root := t.TempDir()
	for i := range 20 {
		if err := os.Mkdir(filepath.Join(root, fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("stop")
	if err := Walk(context.Background(), root, Options{}, func(*Dir) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Walk(ctx, root, Options{}, func(*Dir) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error of a cancelled walk is %v", err)
	}
	if err := Walk(context.Background(), filepath.Join(root, "none"), Options{}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error for a missing root is %v", err)
	}
}

func TestWalkLeavesAccessTimesAlone(t *testing.T) {
	root := t.TempDir()
	var before, after unix.Stat_t
	old := []unix.Timespec{{Sec: 1}, {Sec: 2}}
	if err := errors.Join(unix.UtimesNanoAt(unix.AT_FDCWD, root, old, 0), unix.Stat(root, &before)); err != nil {
		t.Fatal(err)
	}
	walked(t, root, Options{})
	if err := unix.Stat(root, &after); err != nil || before.Atim != after.Atim {
		t.Errorf("access time moved from %v to %v (%v)", before.Atim, after.Atim, err)
	}
}

func TestALightWalkSeesTheSameStates(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a/b", "c", "a/d"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/file", "a/b/file", "c-"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a/b", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	seen := func(o Options) map[string]string {
		states := map[string]string{}
		var mu sync.Mutex
		err := Walk(t.Context(), root, o, func(d *Dir) error {
			mu.Lock()
			defer mu.Unlock()
			states[d.Path] = string(d.Encode())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return states
	}
	if diff := cmp.Diff(seen(Options{}), seen(Options{Light: true})); diff != "" {
		t.Error(diff)
	}
}
