package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of what is copied into memory or into the private folder.
const (
	largestConfig = 1 << 20
	largestRef    = 4 << 10
	largestTable  = 1 << 30 // packed-refs, shallow, reftable
	mostBorrowed  = 64      // folders of alternates
)

const prefix = "cidx-git-"

// privateFolder is a folder of ours in the helper's, or in the system's
// temporary one. What a killed run has left on another day goes.
func privateFolder() (string, error) {
	base := os.TempDir()
	if own := os.Getenv("CIDX_HELPER_DIR"); own != "" {
		own = filepath.Join(own, "tmp")
		if os.MkdirAll(own, 0o700) == nil {
			base = own
		}
	}
	entries, _ := os.ReadDir(base) // nothing to sweep
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), prefix) && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(base, e.Name()))
		}
	}
	dir, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return "", fmt.Errorf("make private git directory: %w", err)
	}
	return filepath.EvalSymlinks(dir)
}

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
	for _, name := range []string{"HEAD", "packed-refs", "shallow"} {
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

// farm links the objects of repository, and of those from which it borrows.
// Their info folders, which name more files, are not linked.
func (c *Clone) farm(repository *os.Root, path string, within []string) error {
	target := filepath.Join(c.dir, "objects")
	objects, err := openFolder(repository, "objects")
	if err != nil {
		return err
	}
	defer objects.Close()
	if err := link(objects, filepath.Join(path, "objects"), target); err != nil {
		return err
	}
	borrowed, err := borrowed(objects, filepath.Join(path, "objects"), within)
	if err != nil {
		return err
	}
	var alternates strings.Builder
	for i, b := range borrowed {
		private := filepath.Join(c.dir, "borrowed", strconv.Itoa(i))
		if err := linkAt(b, private); err != nil {
			return err
		}
		c.objects = append(c.objects, farm{private, b})
		alternates.WriteString(private + "\n")
	}
	if err := os.WriteFile(filepath.Join(target, "info", "alternates"), []byte(alternates.String()), 0o600); err != nil {
		return fmt.Errorf("name borrowed objects: %w", err)
	}
	return nil
}

func linkAt(path, private string) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return Unusual{".git/objects/info/alternates", "names " + strconv.Quote(path) + ", which cannot be read"}
	}
	defer root.Close()
	return link(root, path, private)
}

// link makes a folder of links to pack and 00 to ff of objects, at path.
func link(objects *os.Root, path, private string) error {
	if err := os.MkdirAll(filepath.Join(private, "info"), 0o700); err != nil {
		return fmt.Errorf("link objects: %w", err)
	}
	entries, err := list(objects, ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name != "pack" && (len(name) != 2 || strings.Trim(name, "0123456789abcdef") != "") {
			continue
		}
		if !e.IsDir() {
			return Unusual{".git/objects/" + name, "is no folder"}
		}
		if err := os.Symlink(filepath.Join(path, name), filepath.Join(private, name)); err != nil {
			return fmt.Errorf("link objects: %w", err)
		}
	}
	return nil
}

// borrowed lists the folders from which objects borrows, directly and through
// others. Each has to be below one of within.
func borrowed(objects *os.Root, path string, within []string) ([]string, error) {
	seen := map[string]bool{path: true}
	var all []string
	next := []string{path}
	for len(next) > 0 && len(all) < mostBorrowed {
		names, err := alternates(objects, next[0])
		if err != nil {
			return nil, err
		}
		next = next[1:]
		for _, name := range names {
			real, err := filepath.EvalSymlinks(name)
			if err != nil || !below(real, within) {
				return nil, Unusual{".git/objects/info/alternates", "borrows objects from outside the repositories"}
			}
			if !seen[real] {
				seen[real] = true
				all, next = append(all, real), append(next, real)
			}
		}
		objects = nil
	}
	return all, nil
}

// alternates reads the list of one folder; objects is nil where it is not open.
func alternates(objects *os.Root, path string) ([]string, error) {
	if objects == nil {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, Unusual{".git/objects/info/alternates", "borrows from a folder that cannot be read"}
		}
		defer root.Close()
		objects = root
	}
	raw, err := content(objects, "info/alternates", largestConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.SplitSeq(string(raw), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !filepath.IsAbs(line) {
			line = filepath.Join(path, line)
		}
		names = append(names, line)
	}
	return names, nil
}

func below(path string, within []string) bool {
	for _, folder := range within {
		if real, err := filepath.EvalSymlinks(folder); err == nil && strings.HasPrefix(path, real+"/") {
			return true
		}
	}
	return false
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
