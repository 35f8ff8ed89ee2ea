package regular

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A reader of any of these with os.ReadFile would wait, or read a folder.
func TestOnlyAFileIsRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(path("file"), []byte("x"), 0o600), os.Symlink("file", path("link")),
		syscall.Mkfifo(path("pipe"), 0o600), os.Symlink("pipe", path("link to pipe")), os.Mkdir(path("folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{"file", "link"} {
		if text, err := Read(path(name)); err != nil || string(text) != "x" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, name := range []string{"pipe", "link to pipe", "folder", "socket"} {
		if _, err := Read(path(name)); !errors.Is(err, ErrNot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(path("absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
