package mirror

import (
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/manifest"
	"cidx-cluster/modules/internal/tree"
)

// TestAnInterruptedPassMakesNoFewSeemMany: all files have got new attributes, a
// pass over them was killed, and a third of them has gone: that is a third of
// what was copied, not all of what is known to be as it was.
func TestAnInterruptedPassMakesNoFewSeemMany(t *testing.T) {
	m, err := manifest.Open(filepath.Join(t.TempDir(), "manifest"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	folder := func(files int, mode uint32) *tree.Dir {
		d := &tree.Dir{Path: "d"}
		for i := range files {
			d.Entries = append(d.Entries, tree.Entry{Name: fmt.Sprintf("f%02d", i), Mode: unix.S_IFREG | mode})
		}
		return d
	}
	flags := make([]byte, 31)
	for i := range flags {
		flags[i] = manifest.Copied
	}
	if err := m.Put("d", folder(30, 0o600).Encode(), flags); err != nil {
		t.Fatal(err)
	}
	now := folder(20, 0o640)
	if err := m.Intend("d", now.Encode()); err != nil {
		t.Fatal(err)
	}
	old := m.Group("d").Dir("d")
	if known, gone := count(old), lost(old, now); known != 30 || gone != 10 {
		t.Errorf("%d of %d have vanished, want 10 of 30", gone, known)
	}
}
