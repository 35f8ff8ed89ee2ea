package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Nothing is reached through a link, wherever in a path it stands, also on
// kernels without openat2.
func TestNoLinkLeadsOutOfARoot(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("without openat2: ", old), func(t *testing.T) {
			noOpenat2.Store(old)
			defer noOpenat2.Store(false)
			root, victim := t.TempDir(), t.TempDir()
			for _, err := range []error{
				os.MkdirAll(filepath.Join(root, "a/b/c"), 0o755), os.MkdirAll(filepath.Join(victim, "c"), 0o755),
				os.WriteFile(filepath.Join(victim, "c/f"), nil, 0o600), os.WriteFile(filepath.Join(root, "a/b/c/f"), nil, 0o600),
				os.Symlink(victim, filepath.Join(root, "a/link")), os.Symlink("b", filepath.Join(root, "a/inside")), os.Symlink(victim+"/c/f", filepath.Join(root, "a/file")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			r, err := Open(root)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for _, path := range []string{"a/link/c/f", "a/inside/c/f", "a/link/f", "../f", "a/../../f"} {
				if _, err := r.Lstat(path); err == nil {
					t.Errorf("%s was reached", path)
				}
			}
			if e, err := r.Lstat("a/b/c/f"); err != nil || !e.IsRegular() {
				t.Errorf("%v, %v", e, err)
			}
			if e, err := r.Lstat("a/link"); err != nil || !e.IsSymlink() {
				t.Errorf("%v, %v", e, err)
			}
			if err := r.At("a/file", func(fd int, name string) error { return Chmod(fd, name, 0o777) }); err == nil {
				t.Error("a link's target got another mode")
			}
			if _, err := r.MkdirAll("a/link/new"); !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
				t.Errorf("made a folder behind a link: %v", err)
			}
			if made, err := r.MkdirAll("x/y/z"); err != nil || !made {
				t.Error(made, err)
			}
			// An open folder that is replaced by a link is not left.
			if err := os.Rename(filepath.Join(root, "a/b"), filepath.Join(root, "a/moved")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(victim, filepath.Join(root, "a/b")); err != nil {
				t.Fatal(err)
			}
			if err := r.At("a/b/c/f", func(fd int, name string) error { return unix.Unlinkat(fd, name, 0) }); err != nil {
				t.Error(err)
			}
			r.Forget("a/b")
			if err := r.At("a/b/c/f", func(fd int, name string) error { return unix.Unlinkat(fd, name, 0) }); err == nil {
				t.Error("removed behind a link")
			}
			if _, err := os.Lstat(filepath.Join(victim, "c/f")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenFoldersAreBounded(t *testing.T) {
	root := t.TempDir()
	for i := range 2 * keptOpen {
		if err := os.Mkdir(filepath.Join(root, fmt.Sprint(i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i := range 2 * keptOpen {
			if err := r.At(fmt.Sprintf("%d/x", i), func(fd int, name string) error { return unix.Mkdirat(fd, name, 0o700) }); err != nil && !errors.Is(err, unix.EEXIST) {
				t.Fatal(err)
			}
		}
	}
	if n := len(r.open); n > keptOpen {
		t.Errorf("%d folders stay open", n)
	}
	r.Close()
}
