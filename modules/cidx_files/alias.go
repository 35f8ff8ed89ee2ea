package files

import (
	"encoding/json"
	"reflect"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/repath"
	"cidx-cluster/modules/internal/tree"
)

// Alias files are copied like all others, and then rewritten on the share by
// cidx_aliases. A later comparison must not take that for damage.

// aliasPlace reports whether a file lies where CIDX keeps alias files.
func (p *part) aliasPlace(dir string, e *tree.Entry) bool {
	return p.name == cidx.GoldenRepos && (dir == "aliases" || dir == "") && e.IsRegular() && strings.HasSuffix(e.Name, ".json")
}

// rewritten reports whether the share has an alias file with the paths already
// spelt for the share, and nothing else different.
func (p *pass) rewritten(dir string, e *tree.Entry) bool {
	if !p.part.aliasPlace(dir, e) || e.Size > largestGitFile {
		return false
	}
	path := tree.Join(dir, e.Name)
	was, err := readSmall(p.source, path)
	if err != nil {
		return false
	}
	is, err := readSmall(p.target.dir, path)
	if err != nil {
		return false
	}
	var before, after map[string]any
	if json.Unmarshal(was, &before) != nil || json.Unmarshal(is, &after) != nil {
		return false
	}
	changed := false
	for _, key := range []string{"target_path", "previous_path"} {
		if old, ok := before[key].(string); ok {
			before[key] = repath.Rewrite(old, p.moves)
			changed = changed || before[key] != old
		}
	}
	return changed && reflect.DeepEqual(before, after)
}
