package standin

import (
	"context"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

// activation is one activated repository, from a metadata file (standalone) or a row of activated_repos (cluster).
type activation struct {
	user, alias, golden, branch string
	at, accessed                any // text, nil if missing
	committer, sshKey           any
	composite, wiki             bool
}

func (a activation) listing() map[string]any {
	return map[string]any{
		"user_alias": a.alias, "username": a.user, "golden_repo_alias": orNil(a.golden), "current_branch": a.branch,
		"activated_at": a.at, "last_accessed": a.accessed, "git_committer_email": a.committer,
		"ssh_key_used": a.sshKey, "is_composite": a.composite, "wiki_enabled": a.wiki,
	}
}

// activations lists one user's, or everybody's ("" as user). Standalone reads files and hides entries whose directory
// is missing; a cluster reads PostgreSQL only and lists what stands there.
func (s *Server) activations(ctx context.Context, user string) ([]activation, error) {
	if s.cfg.cluster {
		return s.activationRows(ctx, user)
	}
	found, err := s.layout.Activations(user)
	out := make([]activation, 0, len(found))
	for _, f := range found {
		out = append(out, fromFile(f))
	}
	return out, err
}

func fromFile(f repos.Activation) activation {
	text := func(key string) any { // ssh_key_used may be false, which means none
		if v := f.Meta.Get(key); v.Type == gjson.String {
			return orNil(v.String())
		}
		return nil
	}
	return activation{
		user: f.User, alias: f.Alias, golden: f.Golden, branch: f.Branch,
		at: text("activated_at"), accessed: text("last_accessed"), committer: text("git_committer_email"),
		sshKey: text("ssh_key_used"), composite: f.Meta.Get("is_composite").Bool(), wiki: f.Meta.Get("wiki_enabled").Bool(),
	}
}

func (s *Server) activationRows(ctx context.Context, user string) ([]activation, error) {
	query, args := "SELECT * FROM activated_repos ORDER BY username, user_alias", []any(nil)
	if user != "" {
		query, args = "SELECT * FROM activated_repos WHERE username = ? ORDER BY user_alias", []any{user}
	}
	rows, err := s.store.Rows(ctx, "activated_repos", query, args...)
	out := make([]activation, 0, len(rows))
	for _, r := range rows {
		out = append(out, fromRow(r))
	}
	return out, err
}

func fromRow(r schema.Row) activation {
	return activation{
		user: r.Text("username"), alias: r.Text("user_alias"), golden: r.Text("golden_repo_alias"),
		branch: r.Text("current_branch"), at: r.Value("activated_at"), accessed: r.Value("last_accessed"),
		committer: r.Value("git_committer_email"), sshKey: r.Value("ssh_key_used"),
		composite: r.Flag("is_composite"), wiki: r.Flag("wiki_enabled"),
	}
}

// touch notes that an activation was used, in cluster mode.
func (s *Server) touch(ctx context.Context, a activation) error {
	if !s.cfg.cluster {
		return nil
	}
	_, err := s.store.Exec(ctx, "activated_repos",
		"UPDATE activated_repos SET last_accessed = ? WHERE username = ? AND user_alias = ?", stamp(time.Now()), a.user, a.alias)
	return err
}

func (s *Server) deactivate(ctx context.Context, a activation) error {
	if s.cfg.cluster {
		_, err := s.store.Exec(ctx, "activated_repos",
			"DELETE FROM activated_repos WHERE username = ? AND user_alias = ?", a.user, a.alias)
		if err != nil {
			return err
		}
	}
	return s.layout.Deactivate(a.user, a.alias)
}

const idleLimit = 30 * 24 * time.Hour

// reap deactivates what nobody used for 30 days; a missing last_accessed counts as expired.
func (s *Server) reap(ctx context.Context) error {
	list, err := s.activations(ctx, "")
	if err != nil {
		return err
	}
	for _, a := range list {
		at, ok := schema.Row{"t": a.accessed}.Time("t")
		if ok && time.Since(at) < idleLimit {
			continue
		}
		s.log.Printf("reaper: deactivating %s of %s", a.alias, a.user)
		if err := s.deactivate(ctx, a); err != nil {
			return fmt.Errorf("reap %s/%s: %w", a.user, a.alias, err)
		}
	}
	return nil
}

func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}
