package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Bounds of what is copied into memory or into the private folder.
const (
	largestConfig = 1 << 20
	largestRef    = 4 << 10
	largestTable  = 1 << 30 // packed-refs, shallow, reftable
	mostBorrowed  = 64      // folders of alternates
)

var tables = []string{"HEAD", "packed-refs", "shallow"}

// Reads lists what is read of a repository's .git, files and folders.
func Reads() []string { return append([]string{"config", "objects", "refs", "reftable"}, tables...) }

// build fills the private git directory from repository, which is at path.
func (c *Clone) build(ctx context.Context, repository *os.Root, path string, within []string) error {
	if err := c.farm(repository, path, within); err != nil {
		return err
	}
	config, err := content(repository, "config", largestConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kept, err := settings(ctx, c.dir, config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config"), configuration(kept), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	for _, name := range tables {
		if err := c.copy(ctx, repository, name, largestTable); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := c.copyFolder(ctx, repository, "refs", largestRef); err != nil {
		return err
	}
	if kept["extensions.refstorage"] == "reftable" {
		return c.copyFolder(ctx, repository, "reftable", largestTable)
	}
	return nil
}

// copy copies one regular file, at most limit bytes of it.
func (c *Clone) copy(ctx context.Context, from *os.Root, name string, limit int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	source, err := regular(from, name)
	if err != nil {
		return err
	}
	defer source.Close()
	target := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	_, err = io.Copy(out, io.LimitReader(source, limit))
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return nil
}

// copyFolder copies the regular files of a folder and those below it. What git
// has removed meanwhile is not there.
func (c *Clone) copyFolder(ctx context.Context, from *os.Root, name string, limit int64) error {
	if err := os.MkdirAll(filepath.Join(c.dir, name), 0o700); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	entries, err := list(from, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		inner := filepath.Join(name, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), ".lock"):
			continue
		case e.IsDir():
			err = c.copyFolder(ctx, from, inner, limit)
		default:
			err = c.copy(ctx, from, inner, limit)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// farm is a folder of ours whose entries are links to a folder of objects.
type farm struct {
	private string
	shown   string // in messages: ".git/objects", or an absolute path
}

// regular opens a file of a repository that is one: no link in its place, no
// pipe that would wait.
func regular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, Unusual{".git/" + name, "is a symbolic link"}
	}
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, Unusual{".git/" + name, "is no regular file"}
	}
	return f, nil
}

// content is a small file of a repository.
func content(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := regular(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		return nil, Unusual{".git/" + name, "is too large"}
	}
	return raw, err
}

// openFolder opens a folder that is no link.
func openFolder(root *os.Root, name string) (*os.Root, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, Unusual{".git/" + name, "is no folder"}
	}
	return root.OpenRoot(name)
}

// list names the entries of a folder that is no link.
func list(root *os.Root, name string) ([]fs.DirEntry, error) {
	folder, err := openFolder(root, name)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return fs.ReadDir(folder.FS(), ".")
}
