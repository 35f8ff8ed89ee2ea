package aliases

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/repath"
)

// Fields of an alias file that hold paths. CIDX 11.79 follows target_path and
// compares previous_path, as text, to keep that snapshot from its clean-up.
const (
	targetPath   = "target_path"
	previousPath = "previous_path"
)

// errNotText is returned for a path that JSON carries but that cannot be
// written back without loss: Python writes file names that are not UTF-8 with
// lone surrogates.
var errNotText = errors.New("the path holds characters that are not text")

// rewrite returns doc with the path fields moved and every other byte kept.
// doc has to be an alias file. It looks at nothing but its arguments.
func rewrite(doc []byte, moves map[string]string) ([]byte, error) {
	var edits []jsonfile.Edit
	for _, field := range []string{targetPath, previousPath} {
		value := jsonfile.Get(doc, field)
		if value.Type != gjson.String {
			continue
		}
		moved := repath.Rewrite(value.Str, moves)
		if moved == value.Str {
			continue
		}
		if !utf8.ValidString(value.Str) || strings.ContainsRune(value.Str, utf8.RuneError) {
			return nil, fmt.Errorf("%s: %w: %s", field, errNotText, value.Raw)
		}
		edits = append(edits, jsonfile.Edit{Path: []string{field}, Value: moved})
	}
	if len(edits) == 0 {
		return doc, nil
	}
	return jsonfile.Set(doc, edits...)
}

// checkTarget proves that the folder an alias will point at is on the share or,
// in a rehearsal, that it will be: CIDX follows target_path only, and it must
// exist. at is the original, for messages.
func (s *step) checkTarget(a alias, at string) error {
	given := jsonfile.Get(a.original, targetPath).Str
	target := jsonfile.Get(a.expected, targetPath).Str
	if !filepath.IsAbs(target) || !repath.Within(filepath.Clean(target), s.share) {
		return problem.Problem{
			What: fmt.Sprintf("target_path %q lies neither in a tree that moves to the share nor on the share", given), At: at,
			Fix: "refresh this repository in CIDX, so that its alias points below " + s.tree.Link + "; or remove it in CIDX",
		}
	}
	// A path on the share but in none of the trees was made by a clone backend
	// that works on the share itself.
	origin, moves := s.origin(target)
	switch {
	case moves && !home.IsFolder(origin), !moves && !home.IsFolder(target):
		return problem.Problem{
			What: fmt.Sprintf("target_path %q does not exist", given), At: at,
			Fix: "refresh this repository in CIDX; or, if the repository is gone, remove it in CIDX",
		}
	case s.check:
		return nil
	case !home.IsFolder(target):
		return problem.Problem{
			What: fmt.Sprintf("target_path %q has not been copied: %s does not exist", given, target), At: at,
			Fix: "run cluster-migrate.yml again, which completes the copy",
		}
	}
	return s.staysInside(target, at)
}

// origin maps a path on the share to where its files come from; moves is false
// for a path in none of the trees.
func (s *step) origin(target string) (path string, moves bool) {
	target = filepath.Clean(target)
	for _, t := range s.layout.Trees {
		if repath.Within(target, t.Target) {
			return t.Local + strings.TrimPrefix(target, t.Target), true
		}
	}
	return "", false
}

// staysInside refuses a target that a link leads out of the share. One that
// leads into a tree of this server leads to the share once the cut-over has put
// a link there: then it is the copy that counts.
func (s *step) staysInside(target, at string) error {
	root, err := filepath.EvalSymlinks(s.share)
	if err != nil {
		return fmt.Errorf("resolve share: %w", err)
	}
	resolved, asked := "", map[string]bool{}
	for next := target; !asked[next]; next = repath.Rewrite(resolved, s.moves) {
		asked[next] = true
		if resolved, err = filepath.EvalSymlinks(next); err != nil {
			return fmt.Errorf("resolve target of alias file: %w", err)
		}
		if repath.Within(resolved, root) {
			return nil
		}
	}
	return problem.Problem{
		What: fmt.Sprintf("%s leads out of the share, to %q", target, resolved), At: at,
		Fix: "replace the link in the server's own tree with the folder itself, and run the same playbook again",
	}
}
