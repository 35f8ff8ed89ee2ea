package aliases

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

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

// below reports whether path is dir or lies in it, as text.
func below(path, dir string) bool {
	path = filepath.Clean(path)
	return path == dir || strings.HasPrefix(path, dir+"/")
}
