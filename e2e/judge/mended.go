package judge

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Git keeps absolute paths in some files. On the share those that lead into a
// tree that moved must be spelled for the share, and every other byte must be
// as it was. What that is, the judge finds out by itself: for configurations it
// asks git what they say.

var (
	gitPointer  = regexp.MustCompile(`(^|/)\.git$`)
	gitWorktree = regexp.MustCompile(`(^|/)[^/]*\.git/(.*/)?worktrees/[^/]+/(gitdir|commondir)$`)
	alternates  = regexp.MustCompile(`(^|/)objects/info/alternates$`)
	gitConfig   = regexp.MustCompile(`(^|/)[^/]*\.git/(.*/)?config(\.worktree)?$`)
)

// configPaths are the variables whose value is a path or may be one.
var configPaths = map[string]bool{"worktree": true, "url": true, "pushurl": true, "path": true, "hookspath": true,
	"excludesfile": true, "attributesfile": true, "templatedir": true}

// findMended sorts out what may differ from its original, and in which way it
// then must: the answer is what is wrong with the others.
func (f *files) findMended(was, is map[string]Entry) map[string]string {
	f.mended, f.touched = map[string]bool{}, map[string]bool{}
	for rel := range f.aliases {
		f.touched[filepath.Dir(rel)] = true
	}
	wrong := map[string]string{}
	for _, rel := range sortedNames(was) {
		w, i := was[rel], is[rel]
		var why string
		switch {
		case w.Type != i.Type:
			continue
		case w.Type == "link" && f.paths.moved(w.Link) != w.Link:
			untidy := tidy(w.Link) != w.Link && i.Link == w.Link // leads through the link in the tree's place
			if !right(w.Link, f.paths.moved(w.Link), i.Link) && !untidy {
				why = fmt.Sprintf("link is %q, want %q", i.Link, f.paths.moved(w.Link))
			}
		case w.Type == "file" && mendable(rel):
			moves, fault := f.judgeMended(rel)
			if !moves {
				continue
			}
			why = fault
		default:
			continue
		}
		f.mended[rel] = true
		if why != "" {
			wrong[rel] = why
		}
	}
	return wrong
}

func mendable(rel string) bool {
	for _, kind := range []*regexp.Regexp{gitPointer, gitWorktree, alternates, gitConfig} {
		if kind.MatchString(rel) {
			return true
		}
	}
	return false
}

// judgeMended reads a file of git and its copy. moves is false where nothing in
// it leads into a tree: then the copy has to be the same.
func (f *files) judgeMended(rel string) (moves bool, why string) {
	original := filepath.Join(f.tree.local(), rel)
	was, err := os.ReadFile(original)
	if err != nil || !f.names(was) {
		return false, ""
	}
	copied := filepath.Join(f.tree.target, rel)
	is, err := os.ReadFile(copied)
	if err != nil {
		return true, err.Error()
	}
	if gitConfig.MatchString(rel) {
		return f.judgeConfig(original, copied, was, is)
	}
	want := f.respelled(rel, string(was))
	if want == string(was) {
		return false, ""
	}
	originals, lines := strings.Split(string(was), "\n"), strings.Split(string(is), "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(lines) || !right(strings.TrimPrefix(originals[i], "gitdir: "), line, lines[i]) {
			return true, fmt.Sprintf("says %q, want %q", is, want)
		}
	}
	return true, ""
}

// names says whether a text holds the path of a tree that moves.
func (f *files) names(text []byte) bool {
	plain := decoded(string(text))
	return slices.ContainsFunc(f.paths.trees, func(t tree) bool {
		return bytes.Contains(text, []byte(t.link)) || strings.Contains(plain, t.link)
	})
}

// respelled is what a file of one path a line must be on the share.
func (f *files) respelled(rel, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		head := ""
		if gitPointer.MatchString(rel) {
			rest, ok := strings.CutPrefix(line, "gitdir: ")
			if !ok {
				continue
			}
			head, line = "gitdir: ", rest
		}
		lines[i] = head + f.paths.moved(line) // a comment is no absolute path
	}
	return strings.Join(lines, "\n")
}

// judgeConfig wants git to read from the copy what it reads from the original,
// paths moved, and the text to differ in nothing else.
func (f *files) judgeConfig(original, copied string, was, is []byte) (moves bool, why string) {
	before, err := configOf(original)
	if err != nil {
		return true, err.Error()
	}
	want := slices.Clone(before)
	for i, entry := range want {
		name, value, _ := strings.Cut(entry, "\n")
		if configPaths[name[strings.LastIndexByte(name, '.')+1:]] {
			want[i] = name + "\n" + f.paths.movedURL(value)
		}
	}
	if slices.Equal(before, want) {
		return false, ""
	}
	after, err := configOf(copied)
	if err != nil {
		return true, err.Error()
	}
	for i := range min(len(after), len(want)) {
		encoded := after[i] == before[i] && decoded(before[i]) != before[i] // leads through the link in the tree's place
		if !sameEntry(after[i], want[i]) && !encoded {
			return true, fmt.Sprintf("git reads %q, want %q", after[i], want[i])
		}
	}
	if len(after) != len(want) || !f.onlyPrefixes(string(was), string(is)) {
		return true, "differs in more than its paths"
	}
	return true, ""
}

// sameEntry compares two "name\nvalue"; the path of a file:// URL may be encoded or not.
func sameEntry(a, b string) bool {
	nameA, valueA, _ := strings.Cut(a, "\n")
	nameB, valueB, _ := strings.Cut(b, "\n")
	if a == b || nameA != nameB {
		return a == b
	}
	restA, urlA := strings.CutPrefix(valueA, "file://")
	restB, urlB := strings.CutPrefix(valueB, "file://")
	return urlA && urlB && decoded(restA) == decoded(restB)
}

// configOf is what git reads from a file: "name\nvalue" for each variable.
func configOf(path string) ([]string, error) {
	cmd := exec.Command("git", "config", "--file", path, "--no-includes", "--null", "--list")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C"}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git cannot read %s: %w", path, err)
	}
	return strings.Split(string(out), "\x00"), nil
}

// onlyPrefixes says whether every line of is equals that of was, but for one
// tree's path at its first place in a line that is no comment.
func (f *files) onlyPrefixes(was, is string) bool {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		comment := strings.HasPrefix(strings.TrimSpace(a[i]), "#") || strings.HasPrefix(strings.TrimSpace(a[i]), ";")
		ok := a[i] == b[i] || !comment && slices.ContainsFunc(f.paths.trees, func(t tree) bool {
			return strings.Replace(a[i], t.link, t.target, 1) == b[i] || strings.Replace(decoded(a[i]), t.link, t.target, 1) == decoded(b[i])
		})
		if !ok {
			return false
		}
	}
	return true
}
