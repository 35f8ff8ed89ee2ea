package git

import (
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// Git keeps absolute paths in some places: a worktree's .git file and the
// worktree's gitdir in its repository, alternates, core.worktree, local remotes.
// They are copied as they are. Those that lead into a moved folder work through
// the link that the cut-over puts in its place; the others are told.

// largestGitFile bounds the files that are looked into.
const largestGitFile = 1 << 20

// Paths lists the absolute paths that an entry of dir keeps, if it is a file of
// git's: inside are those that lead into a moved folder, outside all others. kind
// is what the file is to git, "" where it is none, or cannot be read.
func Paths(root *tree.Root, dir string, e *tree.Entry, moves map[string]string) (kind string, inside, outside []string) {
	if kind = gitFile(dir, e); kind == "" {
		return "", nil, nil
	}
	content, err := readSmall(root, tree.Join(dir, e.Name))
	if err != nil {
		return "", nil, nil // vanished or unreadable: whoever copies it tells
	}
	inside, outside = gitPaths(kind, content, moves)
	return kind, inside, outside
}

// Within reports whether a folder is a git directory or inside one.
func Within(dir string) bool {
	for name := range strings.SplitSeq(dir, "/") {
		if strings.HasSuffix(name, ".git") {
			return true
		}
	}
	return false
}

// gitFile names the kind of a git file that may hold an absolute path, or "".
func gitFile(dir string, e *tree.Entry) string {
	if !e.IsRegular() || e.Size == 0 || e.Size > largestGitFile {
		return ""
	}
	above, parent := tree.Parent(dir)
	_, grand := tree.Parent(above)
	switch {
	case e.Name == ".git":
		return "gitdir"
	case (e.Name == "gitdir" || e.Name == "commondir") && grand == "worktrees" && Within(dir):
		return "worktree"
	case e.Name == "alternates" && parent == "info" && grand == "objects":
		return "alternates"
	case (e.Name == "config" || e.Name == "config.worktree") && Within(dir):
		return "config"
	}
	return ""
}

// gitPaths lists the absolute paths in a git file: inside are those that lead
// into a moved folder, and lines of a configuration that hold such a path
// otherwise (in a command, a condition, or with escapes); outside all others.
func gitPaths(kind string, content []byte, moves map[string]string) (inside, outside []string) {
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		value := pathOf(kind, line)
		switch {
		case value == "" && kind == "config" && mentions(line, moves):
			inside = append(inside, strings.TrimSpace(line))
		case !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "file://"):
		case repath.RewriteURL(value, moves) != value:
			inside = append(inside, value)
		default:
			outside = append(outside, value)
		}
	}
	return inside, outside
}

// mentions reports whether a line that is no comment holds the path of a moved
// folder.
func mentions(line string, moves map[string]string) bool {
	if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
		return false
	}
	for from := range moves {
		if _, after, ok := strings.Cut(line, from); ok && (after == "" || strings.ContainsAny(after[:1], `/"' \`)) {
			return true
		}
	}
	return false
}

// pathOf is the path in a line, "" if it has none.
func pathOf(kind, line string) string {
	switch {
	case kind == "gitdir":
		path, ok := strings.CutPrefix(line, "gitdir: ")
		if !ok {
			return ""
		}
		return path
	case kind == "config":
		return configPath(line)
	case kind == "alternates" && strings.HasPrefix(line, "#"):
		return ""
	}
	return line
}

// configPath is the value of worktree, url, pushurl and the like in a line of a
// git configuration; "" for one with escapes.
func configPath(line string) string {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return ""
	}
	if end := strings.LastIndexByte(key, ']'); end >= 0 && strings.HasPrefix(strings.TrimSpace(key), "[") {
		key = key[end+1:] // section and variable in one line
	}
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "worktree", "url", "pushurl", "hookspath", "excludesfile", "attributesfile", "templatedir", "path":
	default:
		return ""
	}
	value = strings.TrimLeft(value, " \t")
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value, _, _ = strings.Cut(quoted, `"`)
	} else if end := strings.IndexAny(value, "#;"); end >= 0 {
		value = value[:end]
	}
	if value = strings.TrimRight(value, " \t"); strings.Contains(value, `\`) {
		return ""
	}
	return value
}

// readSmall reads a file of at most largestGitFile bytes.
func readSmall(root *tree.Root, path string) ([]byte, error) {
	f, err := root.OpenFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, largestGitFile+1))
	if err == nil && len(content) > largestGitFile {
		err = unix.EFBIG
	}
	return content, err
}
