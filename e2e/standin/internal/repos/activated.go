package repos

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tidwall/gjson"
)

// Activation is a user's working copy. A standalone server knows it from <user>/<alias>_metadata.json only.
type Activation struct {
	User, Alias, Golden, Branch string
	Dir                         string // the working copy, whether or not it exists
	Meta                        gjson.Result
}

// Activations reads the metadata files of one user, or of all ("" as user). Entries whose directory is missing are
// left out, as CIDX hides them in standalone mode.
func (l Layout) Activations(user string) ([]Activation, error) {
	users := []string{user}
	if user == "" {
		users = nil
		entries, err := os.ReadDir(l.Activated)
		if err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("read activated repositories: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() && e.Name() != ".trash" {
				users = append(users, e.Name())
			}
		}
	}
	var out []Activation
	for _, u := range users {
		entries, _ := os.ReadDir(filepath.Join(l.Activated, u))
		for _, e := range entries {
			alias, is := strings.CutSuffix(e.Name(), "_metadata.json")
			if a, ok := l.activation(u, alias); is && ok {
				out = append(out, a)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].User+"\x00"+out[i].Alias < out[j].User+"\x00"+out[j].Alias })
	return out, nil
}

func (l Layout) activation(user, alias string) (Activation, bool) {
	dir := l.ActivatedDir(user, alias)
	raw, err := os.ReadFile(dir + "_metadata.json")
	if err != nil || !gjson.ValidBytes(raw) || !isDir(dir) {
		return Activation{}, false
	}
	meta := gjson.ParseBytes(raw)
	return Activation{
		User: user, Alias: alias, Dir: dir, Meta: meta,
		Golden: meta.Get("golden_repo_alias").String(), Branch: meta.Get("current_branch").String(),
	}, true
}

// ActivatedDir is the working copy of one user.
func (l Layout) ActivatedDir(user, alias string) string {
	return filepath.Join(l.Activated, user, alias)
}

// Deactivate moves a working copy to the trash and removes its metadata file.
func (l Layout) Deactivate(user, alias string) error {
	dir := l.ActivatedDir(user, alias)
	trash := filepath.Join(l.Activated, ".trash")
	if err := os.MkdirAll(trash, 0o755); err != nil {
		return fmt.Errorf("deactivate %s/%s: %w", user, alias, err)
	}
	hole, err := os.MkdirTemp(trash, user+"_"+alias+"_")
	if err != nil {
		return fmt.Errorf("deactivate %s/%s: %w", user, alias, err)
	}
	for _, path := range []string{dir, dir + "_metadata.json"} {
		err := os.Rename(path, filepath.Join(hole, filepath.Base(path)))
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("deactivate %s/%s: %w", user, alias, err)
		}
	}
	return nil
}
