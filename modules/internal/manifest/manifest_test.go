package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/tree"
)

// sample is the state of a folder with three entries.
func sample() []byte {
	d := tree.Dir{Path: "a/b", Self: tree.Entry{Mode: unix.S_IFDIR | 0o755}, Entries: []tree.Entry{
		{Name: "file\n\xff", Mode: unix.S_IFREG | 0o644, Size: 1 << 40, Mtime: 1_767_312_000_123_456_789, Nlink: 2},
		{Name: "folder", Mode: unix.S_IFDIR},
		{Name: "link", Mode: unix.S_IFLNK | 0o777, Link: "../x"},
	}}
	return d.Encode()
}

// fill makes a manifest with n folders in two sittings: the second lies in the
// log.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	m := open(t, path)
	for i := range n {
		put(t, m, fmt.Sprint("d", i))
		if i == n/2 {
			closed(t, m)
		}
	}
}

func open(t *testing.T, path string) *Manifest {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func put(t *testing.T, m *Manifest, path string) {
	t.Helper()
	if err := m.Put(path, sample(), []byte{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, m *Manifest) {
	t.Helper()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAManifestOutlivesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	fill(t, path, 50) // not closed: as after a kill
	m := open(t, path)
	if m.Len() != 50 {
		t.Errorf("%d folders, want 50", m.Len())
	}
	if g := m.Group("d49"); g == nil || string(g.Flags) != "\x01\x02\x03\x04" || !g.All(0, 8) || g.All(1, 0) {
		t.Errorf("group: %+v", g)
	}
	if err := m.Drop("d3"); err != nil {
		t.Fatal(err)
	}
	closed(t, m)
	if m = open(t, path); m.Len() != 49 || m.Group("d3") != nil {
		t.Errorf("after dropping one: %d folders, %v", m.Len(), m.Group("d3"))
	}
	seen := map[string]bool{}
	if err := m.Each(func(path string, g *Group) error { seen[path] = len(g.Flags) == 4; return nil }); err != nil || len(seen) != 49 || !seen["d49"] || seen["d3"] {
		t.Errorf("%v: %v", err, seen)
	}
}

func TestDamageForgetsOnlyWhatFollowsIt(t *testing.T) {
	for _, file := range []string{"", ".log"} {
		for cut := range 40 {
			path := filepath.Join(t.TempDir(), "m")
			fill(t, path, 8)
			raw, err := os.ReadFile(path + file)
			if err != nil {
				t.Fatal(err)
			}
			at := len(raw) - 1 - cut*7
			if at < 0 {
				break
			}
			if cut%2 == 0 {
				raw = raw[:at]
			} else {
				raw[at] ^= 0x55
			}
			if err := os.WriteFile(path+file, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			m := open(t, path)
			before := m.Len()
			if before > 8 {
				t.Fatalf("%d folders out of 8", before)
			}
			for i := range 8 {
				if g := m.Group(fmt.Sprint("d", i)); g != nil && string(g.Stats) != string(sample()) {
					t.Errorf("damaged at %d of %q: a group is wrong", at, file)
				}
			}
			// What is recorded afterwards is not lost behind the damage.
			put(t, m, "new")
			closed(t, m)
			if m = open(t, path); m.Group("new") == nil || m.Len() != before+1 {
				t.Errorf("damaged at %d of %q: %d folders after %d and a new one", at, file, m.Len(), before)
			}
		}
	}
}

func TestAnUnchangedManifestIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	m := open(t, path)
	closed(t, m)
	if _, err := os.Lstat(path); err == nil {
		t.Error("an empty manifest was written")
	}
	fill(t, path, 3)
	m = open(t, path)
	put(t, m, "x")
	closed(t, m)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	m = open(t, path)
	m.Group("x")
	closed(t, m)
	if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the manifest was written again: %v", err)
	}
}

// A disk that fills up: what could not be written whole is written anew, and
// what was recorded before is known on.
func TestAFullDiskForgetsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("cidx-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "m")
	m := open(t, path)
	known := 0
	for m.Put(fmt.Sprint("d", known), sample(), []byte{1, 2, 3, 4}) == nil {
		known++
	}
	all := func(when string) {
		t.Helper()
		for i := range known {
			if m.Group(fmt.Sprint("d", i)) == nil {
				t.Fatalf("%s: d%d of %d is not known", when, i, known)
			}
		}
	}
	all("after the disk was full")
	if m.Put("more", sample(), []byte{1, 2, 3, 4}) == nil {
		t.Fatal("a record was written to a full disk")
	}
	all("after the manifest could not be written anew")
	if err := unix.Mount("cidx-test", dir, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	put(t, m, "new")
	all("after there was room again")
	m = open(t, path) // not closed: as after a kill
	all("read again")
	if m.Group("new") == nil {
		t.Error("what was recorded after the damage was lost behind it")
	}
}

// A record that cannot be read is not taken for a folder that was never copied.
func TestARecordThatCannotBeReadEndsThePass(t *testing.T) {
	for word, end := range map[string]func(*Manifest) error{"Sync": (*Manifest).Sync, "Close": (*Manifest).Close} {
		path := filepath.Join(t.TempDir(), "m")
		fill(t, path, 8)
		m := open(t, path)
		if err := os.Truncate(path+".log", 60); err != nil {
			t.Fatal(err)
		}
		if g := m.Group("d7"); g != nil {
			t.Fatalf("read: %v", g)
		}
		if err := end(m); err == nil || !strings.Contains(err.Error(), "d7") {
			t.Errorf("%s: %v", word, err)
		}
	}
}

func TestAGroupTakesNoMoreMemoryThanItsRecord(t *testing.T) {
	m := open(t, filepath.Join(t.TempDir(), "m"))
	if err := errors.Join(m.Put("a/b", make([]byte, 100), make([]byte, 2)), m.Put("a/c", make([]byte, 4096), make([]byte, 2))); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const times = 1000
	for range times {
		if m.Group("a/b") == nil {
			t.Fatal("no group")
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / times; each > 300 {
		t.Errorf("%d bytes", each)
	}
}
