package judge

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Real homes are untidy. These functions say what one and the same thing may look like, so that a right result is not taken
// for a wrong one.

// tidy removes what does not change where a path leads: doubled slashes, "/./", a slash at the end. ".." stays, which only
// the file system can judge.
func tidy(path string) string {
	if !strings.HasPrefix(path, "/") {
		return path
	}
	var parts []string
	for _, part := range strings.Split(path, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return "/" + strings.Join(parts, "/")
}

// right says whether is may stand where want is expected, made of was: the same text, or the same path where was is untidy
// itself.
func right(was, want, is string) bool {
	return is == want || tidy(was) != was && tidy(is) == tidy(want)
}

var octet = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// decoded is the path of a file:// URL as git and CIDX read it. What is no valid encoding stands for itself.
func decoded(path string) string {
	return octet.ReplaceAllStringFunc(path, func(code string) string {
		text, _ := url.PathUnescape(code) // the pattern lets valid ones through
		return text
	})
}

// structural are the places at which CIDX itself opens a folder by name, and so follows a link without knowing: the snapshots,
// a repository's, one of them, the alias files, a clone; a user and an activation.
var structural = map[string]*regexp.Regexp{
	"golden-repos":    regexp.MustCompile(`^([^/]+|\.versioned/[^/]+|\.versioned/[^/]+/v_[0-9]+)$`),
	".versioned":      regexp.MustCompile(`^([^/]+|[^/]+/v_[0-9]+)$`),
	"activated-repos": regexp.MustCompile(`^[^/]+(/[^/]+)?$`),
}

// follow replaces links of was that CIDX follows, and whose copy is a folder, by what they lead to.
func (f *files) follow(was, is map[string]Entry) error {
	for found := true; found; {
		found = false
		for _, rel := range sortedNames(was) {
			if was[rel].Type != "link" || is[rel].Type != "folder" || !structural[f.tree.name].MatchString(rel) {
				continue
			}
			to, err := filepath.EvalSymlinks(filepath.Join(f.tree.local(), rel))
			if err != nil {
				continue // dangling: the folder on the share is reported
			}
			inside, err := list(to, func(r string) bool { return f.tree.skip(rel + "/" + r) })
			if err != nil {
				return err
			}
			if err := hashAll(f.ctx, to, inside); err != nil {
				return err
			}
			for r, e := range inside {
				was[strings.TrimSuffix(rel+"/"+r, "/")] = e
			}
			found = true
		}
	}
	return nil
}

// resolved is a folder, or where the link leads that stands in its place; other is where it may not lead.
func resolved(path, other string) string {
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return path
	}
	to, err := filepath.EvalSymlinks(path)
	if err != nil || to == other {
		return path
	}
	return to
}
