package repos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

var (
	// ErrOutside is CIDX's ValueError: a clone that exists, but whose real path is not below golden-repos.
	ErrOutside = errors.New("path resolves outside the golden-repos directory")
	// ErrAbsent means that neither the clone nor a snapshot exists.
	ErrAbsent = errors.New("repository not found on the file system")
)

// Resolve applies CIDX's rule to one golden_repos_metadata row: the clone if it exists below golden-repos, else the
// newest v_<number> snapshot, else ErrAbsent; ErrOutside if the clone exists elsewhere.
func (l Layout) Resolve(alias, clonePath string) (string, error) {
	if clonePath != "" && exists(clonePath) {
		if err := l.checkInside(clonePath); err != nil {
			return "", fmt.Errorf("resolve %s: %w", alias, err)
		}
		return clonePath, nil
	}
	if newest := l.newest(alias); newest != "" {
		return newest, nil
	}
	return "", fmt.Errorf("resolve %s: %w", alias, ErrAbsent)
}

func (l Layout) checkInside(path string) error {
	root, err := filepath.EvalSymlinks(l.Golden)
	if err != nil {
		return ErrOutside
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil || (real != root && !strings.HasPrefix(real, root+string(filepath.Separator))) {
		return ErrOutside
	}
	return nil
}

func (l Layout) newest(alias string) string {
	list := l.snapshots(alias)
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

// snapshots lists the v_<number> directories of a repository, oldest first.
func (l Layout) snapshots(alias string) []string {
	dir := filepath.Join(l.Versioned, alias)
	entries, _ := os.ReadDir(dir)
	byStamp := map[int64]string{}
	var stamps []int64
	for _, e := range entries {
		n, err := strconv.ParseInt(strings.TrimPrefix(e.Name(), "v_"), 10, 64)
		if err == nil && strings.HasPrefix(e.Name(), "v_") && isDir(filepath.Join(dir, e.Name())) {
			byStamp[n], stamps = filepath.Join(dir, e.Name()), append(stamps, n)
		}
	}
	sortInts(stamps)
	out := make([]string, len(stamps))
	for i, n := range stamps {
		out[i] = byStamp[n]
	}
	return out
}

// Target is the directory that queries on a global repository read: the alias file's target_path, which must exist;
// if the file is missing or unreadable, the registry's index_path, if that exists.
func (l Layout) Target(name, indexPath string) (string, error) {
	raw, err := os.ReadFile(l.AliasFile(name))
	target := gjson.GetBytes(raw, "target_path")
	if err == nil && gjson.ValidBytes(raw) && target.Type == gjson.String {
		if !isDir(target.String()) {
			return "", fmt.Errorf("alias %s: target_path %q: %w", name, target.String(), ErrAbsent)
		}
		return target.String(), nil
	}
	if indexPath != "" && isDir(indexPath) {
		return indexPath, nil
	}
	return "", fmt.Errorf("alias %s: no readable alias file and no index_path: %w", name, ErrAbsent)
}
