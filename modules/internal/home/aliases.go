package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// AliasDirs are the folders, relative to the golden-repos tree, in which alias
// files may lie: CIDX keeps them in aliases/, older descriptions at the top.
// Never look deeper: index trees hold millions of JSON files.
var AliasDirs = []string{"aliases", "."}

// Alias is an alias file: it tells CIDX where the files of a global repository lie.
type Alias struct {
	Name   string // as searches call the repository, e.g. "billing-global"
	Rel    string // path below the golden-repos tree
	Raw    []byte
	Target string // target_path
}

// Aliases reads the alias files of a golden-repos tree. What goes meanwhile is left
// out; what cannot be read is a Problem, never taken for absent.
func Aliases(golden string) ([]Alias, error) {
	var list []Alias
	for _, dir := range AliasDirs {
		entries, err := os.ReadDir(filepath.Join(golden, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list alias files: %w", err)
		}
		for _, e := range entries {
			name, isJSON := strings.CutSuffix(e.Name(), ".json")
			if !isJSON || !e.Type().IsRegular() {
				continue
			}
			rel := filepath.Join(dir, e.Name())
			raw, err := regular.Read(filepath.Join(golden, rel))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, problem.Problem{What: err.Error(), At: filepath.Join(golden, rel),
					Fix: "make the file readable for the server's user; the server reads it, too"}
			}
			if target, ok := aliasTarget(raw); ok {
				list = append(list, Alias{Name: name, Rel: rel, Raw: raw, Target: target})
			}
		}
	}
	return list, nil
}

// IsAliasFile reports whether path is an alias file.
func IsAliasFile(path string) bool {
	raw, err := regular.Read(path)
	_, ok := aliasTarget(raw)
	return err == nil && ok
}

// aliasTarget is what makes an alias file: a JSON object with a string target_path,
// and with no key twice, because readers disagree about which one counts.
func aliasTarget(raw []byte) (target string, ok bool) {
	value := jsonfile.Get(raw, "target_path")
	return value.Str, value.Type == gjson.String && jsonfile.Check(raw) == nil
}

// AliasTargets are the folders to which the alias files of one name lead, in the
// order in which CIDX looks.
func AliasTargets(golden, name string) (targets []string) {
	for _, dir := range AliasDirs {
		raw, _ := regular.Read(filepath.Join(golden, dir, name+".json")) // what cannot be read leads nowhere
		if target, ok := aliasTarget(raw); ok {
			targets = append(targets, target)
		}
	}
	return targets
}
