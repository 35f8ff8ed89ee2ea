package home

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/tidwall/gjson"
)

// Moves maps every spelling of the trees to the share: through the home as given,
// as it resolves and as config.json's server_dir says, with each folder on the
// way resolved where it is a link. Every step that rewrites or follows a stored
// path asks here, so that all of them know the same spellings.
func (l Layout) Moves(config Config) map[string]string {
	moves := map[string]string{}
	for _, t := range l.Trees {
		names := []string{t.Local}
		if rel, err := filepath.Rel(l.Home, t.Link); err == nil {
			for _, home := range Spellings(l.Home, config) {
				names = append(names, filepath.Join(home, rel))
			}
		}
		for _, name := range names {
			moves[name] = t.Target
			if real, err := filepath.EvalSymlinks(filepath.Dir(name)); err == nil {
				moves[filepath.Join(real, filepath.Base(name))] = t.Target
			}
			if to, err := os.Readlink(name); err == nil && to == t.Target {
				continue // the cut-over's own link: the share behind it may hang, and no path is stored as it resolves there
			}
			for _, sub := range []string{"", ".versioned"} { // each may be a link itself
				target := filepath.Join(t.Target, sub)
				if real, err := filepath.EvalSymlinks(filepath.Join(name, sub)); err == nil && real != target {
					moves[real] = target
				}
			}
		}
	}
	return moves
}

// ServerDir is the home as the server itself spells it: server_dir of its
// configuration if that is the same folder, else as given.
func ServerDir(home string, config Config) string {
	dir := gjson.GetBytes(config.Raw, "server_dir").Str
	if !filepath.IsAbs(dir) {
		return filepath.Clean(home)
	}
	here, errHere := os.Stat(home)
	there, errThere := os.Stat(dir)
	if errHere != nil || errThere != nil || !os.SameFile(here, there) {
		return filepath.Clean(home)
	}
	return filepath.Clean(dir)
}

// Spellings are the names under which a home may stand in stored paths: as
// given, without symbolic links, and server_dir of its configuration if that is
// the same folder.
func Spellings(home string, config Config) []string {
	list := []string{filepath.Clean(home)}
	add := func(path string) {
		path = filepath.Clean(path)
		if slices.Contains(list, path) {
			return
		}
		list = append(list, path)
	}
	if real, err := filepath.EvalSymlinks(home); err == nil {
		add(real)
	}
	add(ServerDir(home, config))
	return list
}
