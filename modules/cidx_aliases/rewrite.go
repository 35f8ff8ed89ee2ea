package aliases

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/jsonfile"
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

// isAlias reports whether doc is what makes an alias file: an object with a
// string target_path.
func isAlias(doc []byte) bool {
	return jsonfile.Get(doc, targetPath).Type == gjson.String
}

// movesOf maps every spelling of the trees to the share: through the home as
// given, as config.json's server_dir says, and as both resolve.
func movesOf(l cidx.Layout, serverDir string) map[string]string {
	homes := []string{l.Home}
	if resolved, err := filepath.EvalSymlinks(l.Home); err == nil {
		homes = append(homes, resolved)
		if other, err := filepath.EvalSymlinks(serverDir); err == nil && other == resolved {
			homes = append(homes, serverDir)
		}
	}
	moves := map[string]string{}
	for _, t := range l.Trees {
		rel, err := filepath.Rel(l.Home, t.Link)
		if err != nil {
			continue // a tree lies below its home by definition
		}
		for _, home := range homes {
			moves[filepath.Join(home, rel)] = t.Target
		}
		moves[t.Local] = t.Target
		if resolved, err := filepath.EvalSymlinks(t.Local); err == nil && resolved != t.Target {
			moves[resolved] = t.Target
		}
	}
	return moves
}

// serverDir is the home as the server itself spells it, "" if it does not say.
func serverDir(c cidx.Config) string {
	if v := jsonfile.Get(c.Raw, "server_dir"); v.Type == gjson.String && filepath.IsAbs(v.Str) {
		return filepath.Clean(v.Str)
	}
	return ""
}

// below reports whether path is dir or lies in it, as text.
func below(path, dir string) bool {
	path = filepath.Clean(path)
	return path == dir || strings.HasPrefix(path, dir+"/")
}
