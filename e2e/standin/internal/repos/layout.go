// Package repos is how a CIDX server (release 11.79) finds, searches, snapshots and forgets repositories on disk.
//
// It is as strict as CIDX: an alias target must exist, a clone outside the golden-repos directory is refused, a
// full-text search needs its index. Only Refresh, Forget and Churn write, each only what its comment says.
package repos

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/tidwall/gjson"
)

// Layout is where one home keeps its repositories. CIDX itself knows the first form only; the second one, with
// alias files at the top of golden-repos and snapshots beside it, is what older tooling takes for granted.
type Layout struct {
	Home      string
	Golden    string // base clones: <home>/data/golden-repos, or <home>/golden-repos
	Aliases   string // alias files: <Golden>/aliases, or Golden itself
	Versioned string // snapshots: <Golden>/.versioned, or <home>/.versioned
	Activated string // <home>/data/activated-repos
	Assumed   bool
}

// Detect takes the real layout if the registry is spelt in it (spelt), and otherwise unless data/golden-repos is absent
// (a dangling link is not absence) and <home>/golden-repos is a link or holds alias files at its top.
func Detect(home string, spelt bool) Layout {
	real := filepath.Join(home, "data", "golden-repos")
	old := filepath.Join(home, "golden-repos")
	activated := filepath.Join(home, "data", "activated-repos")
	if _, err := os.Lstat(real); !spelt && os.IsNotExist(err) && holdsAliases(old) {
		return Layout{home, old, old, filepath.Join(home, ".versioned"), activated, true}
	}
	return Layout{home, real, filepath.Join(real, "aliases"), filepath.Join(real, ".versioned"), activated, false}
}

// AliasFile is the pointer file of a global repository such as billing-global.
func (l Layout) AliasFile(name string) string {
	path := filepath.Join(l.Aliases, name+".json")
	if l.Assumed {
		bare := filepath.Join(l.Aliases, strings.TrimSuffix(name, "-global")+".json")
		if _, err := os.Lstat(path); os.IsNotExist(err) && isFile(bare) {
			return bare
		}
	}
	return path
}

func holdsAliases(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil {
		return false
	}
	if info.Mode()&os.ModeSymlink != 0 {
		return true
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err == nil && gjson.ValidBytes(raw) && gjson.GetBytes(raw, "target_path").Type == gjson.String {
			return true
		}
	}
	return false
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
