package tree

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// states are all folders of a tree as Encode has them.
func states(t *testing.T, root string, known func(string) *Dir) (all map[string]string, read, same []string) {
	t.Helper()
	var mu sync.Mutex
	all = map[string]string{}
	err := Walk(t.Context(), root, Options{Light: true, Known: known}, func(d *Dir) error {
		mu.Lock()
		defer mu.Unlock()
		if all[d.Path] = string(d.Encode()); !d.Kept {
			read = append(read, d.Path)
		}
		if d.Same {
			same = append(same, d.Path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, read, same
}

func TestAFolderWhoseNamesAreKnownIsNotReadAgainUnlessItChanged(t *testing.T) {
	cases := map[string]struct {
		change func(root string) error
		reads  bool // "a/b"
		same   bool // it
	}{
		"nothing":                   {func(string) error { return nil }, false, true},
		"a file written in place":   {func(root string) error { return os.WriteFile(root+"/a/b/file", []byte("other"), 0o644) }, false, false},
		"a file of another mode":    {func(root string) error { return os.Chmod(root+"/a/b/file", 0o600) }, false, false},
		"a new name":                {func(root string) error { return os.WriteFile(root+"/a/b/new", nil, 0o644) }, true, false},
		"a name that is gone":       {func(root string) error { return os.Remove(root + "/a/b/file") }, true, false},
		"a folder instead":          {func(root string) error { os.Remove(root + "/a/b/file"); return os.Mkdir(root+"/a/b/file", 0o755) }, true, false},
		"a folder of another mode":  {func(root string) error { return os.Chmod(root+"/a/b", 0o700) }, true, false},
		"a new name, the time kept": {withTimeKept, true, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(root+"/a/b", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(root+"/a/b/file", []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			before, _, _ := states(t, root, nil)
			awaitTick(t, root)
			if err := c.change(root); err != nil {
				t.Fatal(err)
			}
			got, read, same := states(t, root, func(dir string) *Dir {
				d, err := Decode(dir, []byte(before[dir]))
				if err != nil {
					return nil
				}
				return d
			})
			want, _, _ := states(t, root, nil)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if reads := slices.Contains(read, "a/b"); reads != c.reads {
				t.Errorf("the folder was read: %t", reads)
			}
			if is := slices.Contains(same, "a/b"); is != c.same {
				t.Errorf("the folder is the same: %t", is)
			}
		})
	}
}

func withTimeKept(root string) error {
	info, err := os.Stat(root + "/a/b")
	if err != nil {
		return err
	}
	if err := os.WriteFile(root+"/a/b/new", nil, 0o644); err != nil {
		return err
	}
	return os.Chtimes(root+"/a/b", info.ModTime(), info.ModTime())
}

// awaitTick waits until the clock by which the kernel stamps files has moved on.
func awaitTick(t *testing.T, root string) {
	t.Helper()
	path := filepath.Join(root, "tick")
	var first time.Time
	for i := 0; ; i++ {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = info.ModTime()
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if info.ModTime().After(first) {
			return
		}
	}
}
