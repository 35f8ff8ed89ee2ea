package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

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
