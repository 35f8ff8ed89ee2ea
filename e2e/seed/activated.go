package seed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// activation is one activated repository; no folder makes it dangling.
type activation struct {
	user, alias string
	from        []string // golden repositories; two make it composite
	metadata    []pair
	folder      bool
}

func (w *world) activations() []activation {
	first, second := w.repos[0].alias, w.repos[min(1, len(w.repos)-1)].alias
	third := w.repos[min(2, len(w.repos)-1)].alias
	at := epoch.Add(-72e9*3600).Format("2006-01-02T15:04:05.000000") + "+00:00"
	used := pair{"last_accessed", at}
	activated := pair{"activated_at", at}
	composite := filepath.Join(w.place.activated, "maria", "all-backend")
	return []activation{
		{user: "jo.doe@example.org", alias: "billing-work", from: []string{first}, folder: true, metadata: []pair{
			{"user_alias", "billing-work"}, {"username", "jo.doe@example.org"}, {"golden_repo_alias", first}, {"current_branch", "main"},
			activated, used, {"git_committer_email", "jo.doe@example.org"}, {"ssh_key_used", false}}},
		{user: "jo.doe@example.org", alias: "portal", from: []string{second}, folder: true, metadata: []pair{
			{"user_alias", "portal"}, {"username", "jo.doe@example.org"}, {"golden_repo_alias", second}, {"current_branch", "feature/ü"},
			activated, used, {"git_committer_email", nil}, {"ssh_key_used", "deploy-key"}, {"wiki_enabled", true}, {"future_key", raw(`{"n": 1.50}`)}}},
		{user: "maria", alias: "all-backend", from: []string{first, third}, folder: true, metadata: []pair{
			{"user_alias", "all-backend"}, {"username", "maria"}, {"path", composite}, {"is_composite", true},
			{"golden_repo_aliases", raw(`["` + first + `", "` + third + `"]`)}, {"discovered_repos", raw(`["` + first + `", "` + third + `"]`)},
			activated, used}},
		{user: "pia", alias: "mine", from: []string{third}, folder: true, metadata: []pair{ // from before the key username existed
			{"user_alias", "mine"}, {"golden_repo_alias", third}, {"current_branch", "main"}, activated, used, {"ssh_key_used", ""}}},
		{user: "ops", alias: "gone", metadata: []pair{
			{"user_alias", "gone"}, {"username", "ops"}, {"golden_repo_alias", first}, {"current_branch", "main"}, activated, used}},
		{user: "admin", alias: "never-opened", from: []string{first}, folder: true, metadata: []pair{
			{"user_alias", "never-opened"}, {"username", "admin"}, {"golden_repo_alias", first}, {"current_branch", "main"}, activated}},
	}
}

func (w *world) makeActivated(ctx context.Context) error {
	for _, a := range w.activations() {
		base := filepath.Join(w.place.activated, a.user, a.alias)
		if err := writeFile(base+"_metadata.json", pythonJSON(a.metadata), 0o644); err != nil {
			return err
		}
		if !a.folder {
			continue
		}
		for _, from := range a.from {
			to := base
			if len(a.from) > 1 {
				to = filepath.Join(base, from)
				config := `{"proxy_mode": true, "discovered_repos": ["` + strings.Join(a.from, `", "`) + `"]}`
				if err := writeFile(filepath.Join(base, ".code-indexer", "config.json"), []byte(config), 0o644); err != nil {
					return err
				}
			}
			if err := w.activate(ctx, from, to); err != nil {
				return fmt.Errorf("activate %s for %s: %w", from, a.user, err)
			}
		}
	}
	trash := filepath.Join(w.place.activated, ".trash", "pia_old_1767312000", "README.md")
	return writeFile(trash, []byte("deleted\n"), 0o644)
}

// activate copies a base clone and adds its remotes: golden, and origin if it had none.
func (w *world) activate(ctx context.Context, alias, to string) error {
	at := slices.IndexFunc(w.repos, func(r repo) bool { return r.alias == alias })
	r := w.repos[at]
	if err := copyTree(ctx, r.clone, to); err != nil {
		return err
	}
	config := filepath.Join(to, ".git", "config")
	text, err := os.ReadFile(config)
	if err != nil {
		return fmt.Errorf("read git config: %w", err)
	}
	text = append(text, remoteSection("golden", r.clone)...)
	if w.originOf(r) == "" {
		text = append(text, remoteSection("origin", r.clone)...)
	}
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return fmt.Errorf("write git config: %w", err)
	}
	return nil
}
