package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"unicode/utf8"

	"cidx-cluster/modules/internal/git"
)

// Bounds of the search for a word: a repository may hold a million files on
// network storage.
const (
	listed   = 20_000   // paths looked at
	read     = 24       // files read
	readMost = 64 << 10 // bytes of each
	offered  = 4        // words returned
)

// suffixes that CIDX indexes in every configuration, most telling first.
var suffixes = map[string]int{
	".py": 9, ".go": 9, ".java": 9, ".js": 8, ".ts": 8, ".c": 8, ".cpp": 8, ".cs": 8, ".rs": 8, ".rb": 8, ".php": 8,
	".kt": 8, ".swift": 8, ".scala": 8, ".h": 7, ".sh": 6, ".sql": 6, ".md": 5, ".html": 4, ".css": 4, ".xml": 3,
	".yaml": 2, ".yml": 2, ".txt": 1,
}

// tooCommon are words that say nothing about a repository.
var tooCommon = map[string]bool{
	"import": true, "return": true, "class": true, "public": true, "private": true, "static": true, "const": true,
	"function": true, "package": true, "string": true, "struct": true, "false": true, "while": true, "break": true,
	"https": true, "where": true, "select": true, "there": true, "which": true, "about": true, "should": true,
}

// errOutside is a repository whose folder leads out of those that hold
// repositories: its words are somebody else's.
var errOutside = errors.New("its folder leads out of the repositories' folders")

// wordsIn returns words that stand in text files of the repository at target,
// the most promising first; none if it has no text. The repository has to lie
// below one of within, else errOutside. Files that git tracks are preferred. .git
// and .code-indexer are never read, and no link is followed out of the repository.
func wordsIn(ctx context.Context, within []string, target string) ([]string, error) {
	root, err := openBelow(within, target)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	paths := tracked(root)
	if len(paths) > 0 && !anyExists(root, paths) {
		return nil, fmt.Errorf("git tracks files, for example %q, but none of them is there", paths[0])
	}
	if len(paths) == 0 {
		if paths, err = walked(ctx, root); err != nil {
			return nil, err
		}
	}
	sort.SliceStable(paths, func(i, j int) bool { return promise(paths[i]) > promise(paths[j]) })
	var words []string
	opened := 0
	for _, path := range paths {
		if opened == read || len(words) == offered || ctx.Err() != nil {
			break
		}
		text, ok := textOf(root, path)
		if !ok {
			continue
		}
		opened++
		if w := telling(text, words); w != "" {
			words = append(words, w)
		}
	}
	return words, ctx.Err()
}

// openBelow opens the folder that target really is.
func openBelow(within []string, target string) (*os.Root, error) {
	real, err := filepath.EvalSymlinks(target)
	if err != nil {
		return nil, err
	}
	for _, folder := range within {
		top, err := filepath.EvalSymlinks(folder)
		if err != nil {
			continue
		}
		if rest, ok := strings.CutPrefix(real, top+"/"); ok {
			outer, err := os.OpenRoot(top)
			if err != nil {
				return nil, err
			}
			defer outer.Close()
			return outer.OpenRoot(rest)
		}
	}
	return nil, fmt.Errorf("%w: %s is %s", errOutside, target, real)
}

// promise ranks a path; files whose name starts with a dot come last.
func promise(path string) int {
	if strings.HasPrefix(filepath.Base(path), ".") {
		return -1
	}
	return suffixes[strings.ToLower(filepath.Ext(path))]
}

// tracked lists files that git knows, none if its index does not say.
func tracked(root *os.Root) []string {
	all, err := git.Tracked(root, listed)
	if err != nil {
		return nil // walked instead
	}
	return slices.DeleteFunc(all, hidden)
}

// hidden reports whether a path belongs to git's or CIDX's own bookkeeping.
func hidden(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == ".git" || part == ".code-indexer" {
			return true
		}
	}
	return false
}

// anyExists reports whether at least one of the paths is there.
func anyExists(root *os.Root, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		_, err := root.Lstat(path)
		return err == nil
	})
}

var errEnough = errors.New("enough")

// walked lists files where git cannot.
func walked(ctx context.Context, root *os.Root) ([]string, error) {
	var paths []string
	err := fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case d.IsDir() && hidden(path):
			return fs.SkipDir
		case d.Type().IsRegular():
			paths = append(paths, path)
		}
		if len(paths) >= listed {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return paths, err
}

// textOf reads the start of a regular file that looks like text.
func textOf(root *os.Root, path string) (string, bool) {
	info, err := root.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > 1<<20 {
		return "", false
	}
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place must not wait
	if err != nil {
		return "", false
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return "", false
	}
	raw, err := io.ReadAll(io.LimitReader(f, readMost))
	if err != nil || bytes.IndexByte(raw, 0) >= 0 {
		return "", false
	}
	if len(raw) < readMost && !utf8.Valid(raw) {
		return "", false
	}
	return string(raw), true
}

// telling picks a word of a text: 5 to 20 letters and digits (the index splits
// at everything else), not in taken, the longest; of several the first.
func telling(text string, taken []string) string {
	best := ""
	for _, token := range strings.FieldsFunc(text, separates) {
		if len(token) < 5 || len(token) > 20 || len(token) <= len(best) || !plain(token) || tooCommon[strings.ToLower(token)] {
			continue
		}
		if !slices.ContainsFunc(taken, func(w string) bool { return strings.EqualFold(w, token) }) {
			best = token
		}
	}
	return best
}

// separates keeps identifiers with underscores, and words with other letters, in
// one piece, so that no part of one is taken for a word.
func separates(r rune) bool {
	return r < 0x80 && r != '_' && !(r >= '0' && r <= '9') && !(r >= 'a' && r <= 'z') && !(r >= 'A' && r <= 'Z')
}

// plain reports whether s is a letter followed by letters and digits.
func plain(s string) bool {
	for i := range len(s) {
		letter := s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z'
		digit := s[i] >= '0' && s[i] <= '9'
		if !letter && (!digit || i == 0) {
			return false
		}
	}
	return true
}
