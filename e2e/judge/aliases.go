package judge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pathKeys are the members of an alias file that hold a path.
var pathKeys = map[string]bool{"target_path": true, "previous_path": true}

// aliasFiles answers the alias files of the golden-repos tree, relative to it:
// JSON objects with a string target_path.
func (l layout) aliasFiles() (map[string]bool, error) {
	root := l.trees[0].local()
	found, err := filepath.Glob(filepath.Join(escapeGlob(root), l.aliases, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("find alias files: %w", err)
	}
	out := map[string]bool{}
	for _, file := range found {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue // a folder of that name, or a link that leads nowhere
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read alias file: %w", err)
		}
		var alias struct {
			Target *string `json:"target_path"`
		}
		if json.Unmarshal(text, &alias) == nil && alias.Target != nil {
			out[strings.TrimPrefix(file, root+"/")] = true
		}
	}
	return out, nil
}

// judgeAliases wants each alias file on the share to be the local one, byte for
// byte, but for the two path values, which must lead to the share. That of cidx-meta a running server writes anew.
func judgeAliases(l layout, names map[string]bool, running bool, r *Report) error {
	rule := &pathRule{trees: l.trees, spelling: SpellMount}
	r.checked("aliases", len(names))
	for _, rel := range sortedNames(names) {
		if running && metaFile(rel) {
			continue
		}
		name := joined("golden-repos", rel)
		was, err := os.ReadFile(filepath.Join(l.trees[0].local(), rel))
		if err != nil {
			return fmt.Errorf("read alias file: %w", err)
		}
		is, err := os.ReadFile(filepath.Join(l.trees[0].target, rel))
		if err != nil {
			r.differ("aliases", name, "cannot be read on the share: %v", err)
			continue
		}
		compareAlias(r, name, was, is, rule)
	}
	return nil
}

func compareAlias(r *Report, name string, was, is []byte, rule *pathRule) {
	wasRest, wasPaths, err := splitAlias(was)
	if err != nil {
		r.differ("aliases", name, "source: %v", err)
		return
	}
	isRest, isPaths, err := splitAlias(is)
	if err != nil {
		r.differ("aliases", name, "on the share: %v", err)
		return
	}
	if !bytes.Equal(wasRest, isRest) {
		r.differ("aliases", name, "differs in more than its paths")
	}
	for _, key := range sortedNames(wasPaths) {
		if want := rule.moved(wasPaths[key]); !right(wasPaths[key], want, isPaths[key]) {
			r.differ("aliases", joined(name, key), "is %q, want %q", isPaths[key], want)
		}
	}
	if _, err := os.Stat(isPaths["target_path"]); err != nil {
		r.differ("aliases", joined(name, "target_path"), "leads nowhere: %v", err)
	}
}

// splitAlias answers the file without its path values, and those values by key.
func splitAlias(text []byte) ([]byte, map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	paths := map[string]string{}
	var rest []byte
	copied := 0
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, nil, fmt.Errorf("not a JSON object")
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("not JSON: %w", err)
		}
		key, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, fmt.Errorf("not JSON: %w", err)
		}
		var path string
		if !pathKeys[key] || json.Unmarshal(value, &path) != nil {
			continue
		}
		end := int(dec.InputOffset())
		rest = append(rest, text[copied:end-len(value)]...)
		copied, paths[key] = end, path
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("not JSON: %w", err)
	}
	return append(rest, text[copied:]...), paths, nil
}
