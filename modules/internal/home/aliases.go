package home

import (
	"errors"
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

// AliasFile is what lies where alias files may lie, and is named like one.
type AliasFile struct {
	Alias
	Info  fs.FileInfo // of itself: a link is not followed
	Fault error       // why it is no alias file; nil also for a link to one
}

// ErrNoTarget is the Fault of other JSON, of which nobody says that it is an alias.
var ErrNoTarget = errors.New("has no target_path")

// AliasFiles reads them. What goes meanwhile is left out. The error is the Problem
// of a folder that cannot be read.
func AliasFiles(golden string) ([]AliasFile, error) {
	var list []AliasFile
	for _, dir := range AliasDirs {
		entries, err := os.ReadDir(filepath.Join(golden, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, problem.Problem{What: "list alias files: " + err.Error(), At: filepath.Join(golden, dir),
				Fix: "make it a folder that the server's user can read"}
		}
		for _, e := range entries {
			name, isJSON := strings.CutSuffix(e.Name(), ".json")
			if !isJSON || e.IsDir() {
				continue
			}
			f := AliasFile{Alias: Alias{Name: name, Rel: filepath.Join(dir, e.Name())}}
			path := filepath.Join(golden, f.Rel)
			if f.Info, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			f.Raw, f.Target, f.Fault = readAlias(path)
			list = append(list, f)
		}
	}
	return list, nil
}

// Unreadable is the problem of a file, at, whose content is not known: it is never
// taken for absent.
func (f AliasFile) Unreadable(at string) error {
	return problem.Problem{What: f.Fault.Error(), At: at,
		Fix: "make the file readable for the server's user; the server reads it, too"}
}

// Aliases are the alias files of a golden-repos tree.
func Aliases(golden string) ([]Alias, error) {
	files, err := AliasFiles(golden)
	var list []Alias
	for _, f := range files {
		switch {
		case !f.Info.Mode().IsRegular():
		case f.Raw == nil && f.Fault != nil:
			return nil, f.Unreadable(filepath.Join(golden, f.Rel))
		case f.Fault == nil:
			list = append(list, f.Alias)
		}
	}
	return list, err
}

// IsAliasFile reports whether path is an alias file.
func IsAliasFile(path string) bool {
	_, _, err := readAlias(path)
	return err == nil
}

// readAlias reads what makes an alias file: a JSON object with a string target_path,
// and with no key twice, because readers disagree about which one counts. The raw
// text is nil where it cannot be read.
func readAlias(path string) (raw []byte, target string, err error) {
	if raw, err = regular.Read(path); err != nil {
		return nil, "", err
	}
	if err := jsonfile.Check(raw); err != nil {
		return raw, "", err
	}
	value := jsonfile.Get(raw, "target_path")
	if value.Type != gjson.String {
		return raw, "", ErrNoTarget
	}
	return raw, value.Str, nil
}

// AliasTargets are the folders to which the alias files of one name lead, in the
// order in which CIDX looks.
func AliasTargets(golden, name string) (targets []string) {
	for _, dir := range AliasDirs {
		if _, target, err := readAlias(filepath.Join(golden, dir, name+".json")); err == nil { // else it leads nowhere
			targets = append(targets, target)
		}
	}
	return targets
}
