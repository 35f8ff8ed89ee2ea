package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestWriteAtKeepsModeAndOwnerAndFollowsALink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "config.json"), filepath.Join(dir, "link.json")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	must(t, os.Chmod(path, 0o642))
	if os.Geteuid() == 0 {
		must(t, os.Chown(path, 12345, 23456))
	}
	must(t, os.Symlink(path, link))
	must(t, os.WriteFile(filepath.Join(dir, ".config.json.cidx-cluster.tmp"), []byte("left by a kill"), 0o600))
	like, err := os.Stat(path)
	must(t, err)
	at := time.Unix(1_700_000_000, 0)
	must(t, WriteAt(link, []byte("new"), like, at))
	if raw, _ := os.ReadFile(path); string(raw) != "new" {
		t.Errorf("wrote %s", raw)
	}
	info, err := os.Stat(path)
	must(t, err)
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != 0o642 || os.Geteuid() == 0 && (owner.Uid != 12345 || owner.Gid != 23456) || !info.ModTime().Equal(at) {
		t.Errorf("mode %v, owner %d:%d, time %v", info.Mode(), owner.Uid, owner.Gid, info.ModTime())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestWriteLeavesTheOldFileWhereItCannotWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	// A folder in place of the temporary file: the write cannot start.
	must(t, os.MkdirAll(filepath.Join(dir, ".a.json.cidx-cluster.tmp", "x"), 0o700))
	if err := Write(path, []byte("new"), nil); err == nil {
		t.Fatal("no error")
	}
	if raw, _ := os.ReadFile(path); string(raw) != "old" {
		t.Errorf("now %q", raw)
	}
}

func TestRenameNewReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	must(t, os.Mkdir(from, 0o700))
	must(t, os.Mkdir(to, 0o700))
	if err := RenameNew(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(to))
	must(t, RenameNew(from, to))
}

func TestMakeFolderBelongsToTheOwnerAbove(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("only root makes folders for others")
	}
	must(t, os.Chown(dir, 12345, 23456))
	inner := filepath.Join(dir, "a", "b")
	must(t, MakeFolder(inner))
	info, err := os.Stat(inner)
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 12345 || owner.Gid != 23456 || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, owner %d:%d", info.Mode(), owner.Uid, owner.Gid)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
