package files

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// Git keeps absolute paths in some places: a worktree's .git file and the
// worktree's gitdir in its repository, alternates, core.worktree, and local
// remotes. Where they point into a moved folder they are changed in the copy;
// git worktree repair would change the source instead.

// mended is one path that differs in the copy on purpose.
type mended struct {
	Path   string `json:"path"` // on the share
	Before string `json:"before"`
	After  string `json:"after"`
}

// largestMend bounds the files that are looked into.
const largestMend = 1 << 20

// mends reports whether the copy of an entry has to differ from it. What points
// to an absolute path outside the moved folders the scan tells.
func (p *pass) mends(dir string, e *tree.Entry) bool {
	if e.IsSymlink() {
		if !strings.HasPrefix(e.Link, "/") {
			return false
		}
		return repath.Rewrite(e.Link, p.moves) != e.Link
	}
	kind := gitFile(dir, e)
	if kind == "" {
		return false
	}
	content, err := readSmall(p.source, tree.Join(dir, e.Name))
	if err != nil {
		return false // vanished or unreadable: the copy tells
	}
	after, _ := mendContent(kind, content, p.moves)
	return string(after) != string(content)
}

// gitFile names the kind of a git file that may hold an absolute path, or "".
func gitFile(dir string, e *tree.Entry) string {
	if !e.IsRegular() || e.Size == 0 || e.Size > largestMend {
		return ""
	}
	above, parent := tree.Parent(dir)
	_, grand := tree.Parent(above)
	switch {
	case e.Name == ".git":
		return "gitdir"
	case (e.Name == "gitdir" || e.Name == "commondir") && grand == "worktrees" && inGit(dir):
		return "worktree"
	case e.Name == "alternates" && parent == "info" && grand == "objects":
		return "alternates"
	case (e.Name == "config" || e.Name == "config.worktree") && inGit(dir):
		return "config"
	}
	return ""
}

// mendContent changes the absolute paths of a git file that lie in moved
// folders, and nothing else. outside lists the absolute paths that do not, and
// lines of a configuration that hold such a path otherwise: in a command, a
// condition, or with escapes.
func mendContent(kind string, content []byte, moves map[string]string) (after []byte, outside []string) {
	lines := strings.SplitAfter(string(content), "\n")
	for i, line := range lines {
		prefix, value, suffix := pathOf(kind, line)
		if value == "" && kind == "config" && mentions(line, moves) {
			outside = append(outside, strings.TrimSpace(line))
		}
		if !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "file://") {
			continue
		}
		changed := repath.RewriteURL(value, moves)
		if changed == value {
			outside = append(outside, value)
			continue
		}
		lines[i] = prefix + changed + suffix
	}
	return []byte(strings.Join(lines, "")), outside
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

// pathOf splits a line around the path in it; value is empty if it has none.
func pathOf(kind, line string) (prefix, value, suffix string) {
	body := strings.TrimRight(line, "\r\n")
	suffix = line[len(body):]
	switch kind {
	case "gitdir":
		const word = "gitdir: "
		if strings.HasPrefix(body, word) {
			return word, body[len(word):], suffix
		}
		return line, "", ""
	case "config":
		return configPath(body, suffix)
	case "alternates":
		if strings.HasPrefix(body, "#") {
			return line, "", ""
		}
	}
	return "", body, suffix
}

// configPath finds the value of worktree, url, pushurl and the like in a line of
// a git configuration. Quoted values keep their quotes; a value with escapes is
// left alone.
func configPath(body, suffix string) (prefix, value, rest string) {
	key, after, ok := strings.Cut(body, "=")
	if !ok {
		return body + suffix, "", ""
	}
	if end := strings.LastIndexByte(key, ']'); end >= 0 && strings.HasPrefix(strings.TrimSpace(key), "[") {
		key = key[end+1:] // section and variable in one line
	}
	switch strings.ToLower(strings.TrimSpace(key)) {
	case "worktree", "url", "pushurl", "hookspath", "excludesfile", "attributesfile", "templatedir", "path":
	default:
		return body + suffix, "", ""
	}
	value = strings.TrimLeft(after, " \t")
	prefix = body[:len(body)-len(value)]
	if strings.HasPrefix(value, `"`) {
		prefix, value = prefix+`"`, value[1:]
		if end := strings.IndexByte(value, '"'); end >= 0 {
			value, suffix = value[:end], value[end:]+suffix
		}
	} else if end := strings.IndexAny(value, "#;"); end >= 0 {
		end = len(strings.TrimRight(value[:end], " \t"))
		value, suffix = value[:end], value[end:]+suffix
	} else if trimmed := strings.TrimRight(value, " \t"); trimmed != value {
		value, suffix = trimmed, value[len(trimmed):]+suffix
	}
	if strings.Contains(value, `\`) {
		return prefix + value + suffix, "", ""
	}
	return prefix, value, suffix
}

// makeOthers makes a folder's symbolic links and mended files.
func (p *pass) makeOthers(t *task) error {
	var plain, changed []int
	for _, i := range t.other {
		e := &t.now.Entries[i]
		path := tree.Join(t.path, e.Name)
		mends := p.mends(t.path, e)
		want, content := *e, []byte(nil)
		var err error
		if mends {
			want, content, err = p.mendedCopy(path, e)
		}
		if errors.Is(err, errChanged) {
			if err := p.moving(t, path); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = p.place(path, &want, content)
		}
		if err != nil {
			return err
		}
		if mends {
			changed = append(changed, i)
		} else {
			plain = append(plain, i)
		}
		p.meter.moved()
	}
	p.done(t, plain, 0)
	p.done(t, changed, tree.Mended)
	return nil
}

// place writes a link or a small file, unless it is there already.
func (p *pass) place(path string, want *tree.Entry, content []byte) error {
	if c, err := p.target.lstat(path); err == nil && want.Differs(&c, p.target.granularity) == "" {
		if want.IsSymlink() {
			return nil
		}
		if have, err := readSmall(p.target.dir, path); err == nil && string(have) == string(content) {
			return nil
		}
	}
	if want.IsSymlink() {
		return p.target.symlink(path, want)
	}
	p.meter.files.Add(1)
	return p.target.write(path, content, want)
}

// mendedCopy is what the copy of an entry has to be: its attributes, and for a
// file its content.
func (p *pass) mendedCopy(path string, e *tree.Entry) (want tree.Entry, content []byte, err error) {
	want = *e
	if e.IsSymlink() {
		want.Link = repath.Rewrite(e.Link, p.moves)
		return want, nil, nil
	}
	before, err := readSmall(p.source, path)
	if err != nil || int64(len(before)) != e.Size || p.changed(path, e) {
		return want, nil, errChanged
	}
	dir, _ := tree.Parent(path)
	content, _ = mendContent(gitFile(dir, e), before, p.moves)
	want.Size = int64(len(content))
	return want, content, nil
}

// changedLine is the first line of a that b has otherwise.
func changedLine(a, b []byte) string {
	other := strings.Split(string(b), "\n")
	for i, line := range strings.Split(string(a), "\n") {
		if i >= len(other) || other[i] != line {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// readSmall reads a file of at most largestMend bytes.
func readSmall(root *tree.Root, path string) ([]byte, error) {
	fd, err := openRead(root, path)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, largestMend+1))
	if err != nil {
		return nil, err
	}
	if len(content) > largestMend {
		return nil, unix.EFBIG
	}
	return content, nil
}
