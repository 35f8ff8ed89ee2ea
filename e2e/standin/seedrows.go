package standin

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

const metaAlias = "cidx-meta"

// builtinGroups in the order in which CIDX inserts them; on an empty table they get the ids 1, 2, 3. A standalone
// start tries all three every time, which burns three ids.
var builtinGroups = []struct{ name, description string }{
	{"admins", "Administrators with full access"},
	{"powerusers", "Power users"},
	{"users", "Standard users"},
}

// seed inserts what CIDX expects to exist, each row only if its key is free.
func (s *Server) seed(ctx context.Context) error {
	now := stamp(time.Now())
	admin, err := s.store.Row1(ctx, "users", "SELECT username FROM users WHERE username = ?", "admin")
	if err != nil {
		return err
	}
	if admin == nil {
		s.log.Printf("no user admin: seeding the default administrator")
		row := schema.Row{"username": "admin", "password_hash": crypt.HashPassword("admin"), "role": "admin", "created_at": now}
		if s.opt.RealStart {
			row["password_hash"], row["password_changed_at"] = crypt.AdminHash, now
		}
		if _, err := s.store.Insert(ctx, "users", row); err != nil {
			return err
		}
	}
	for _, g := range builtinGroups {
		row := schema.Row{"name": g.name, "description": g.description, "is_default": true, "created_at": now}
		if _, err := s.store.Insert(ctx, "groups", row); err != nil {
			return err
		}
	}
	if err := s.seedMemberships(ctx, now); err != nil {
		return err
	}
	_, err = s.store.Insert(ctx, "oauth_clients", schema.Row{
		"client_id": "client_credentials", "client_name": "Client Credentials", "redirect_uris": "[]",
		"created_at": "2000-01-01T00:00:00+00:00",
	})
	return err
}

// seedMemberships puts users without a group into the one of their role and grants cidx-meta to the built-in groups.
func (s *Server) seedMemberships(ctx context.Context, now string) error {
	ids, err := s.groupIDs(ctx)
	if err != nil {
		return err
	}
	users, err := s.store.Rows(ctx, "users", "SELECT username, role FROM users ORDER BY username")
	if err != nil {
		return err
	}
	byRole := map[string]string{"admin": "admins", "power_user": "powerusers"}
	for _, u := range users {
		group := byRole[u.Text("role")]
		if group == "" {
			group = "users"
		}
		_, err := s.store.Insert(ctx, "user_group_membership", schema.Row{
			"user_id": u.Text("username"), "group_id": ids[group], "assigned_at": now, "assigned_by": "system",
		})
		if err != nil {
			return err
		}
	}
	for _, g := range builtinGroups {
		_, err := s.store.Insert(ctx, "repo_group_access", schema.Row{
			"repo_name": metaAlias, "group_id": ids[g.name], "granted_at": now, "granted_by": "system",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) groupIDs(ctx context.Context) (map[string]int64, error) {
	rows, err := s.store.Rows(ctx, "groups", "SELECT id, name FROM groups")
	ids := map[string]int64{}
	for _, r := range rows {
		ids[r.Text("name")] = r.Int("id")
	}
	return ids, err
}

// bootstrapRepos makes cidx-meta where it is missing, and an alias file, pointing at the clone, for each global
// repository with a healthy clone that has none. With the storage away (a dangling link) it does nothing.
func (s *Server) bootstrapRepos(ctx context.Context) error {
	if info, err := os.Stat(s.layout.Golden); err != nil || !info.IsDir() {
		s.log.Printf("golden-repos is not a directory: repositories not bootstrapped")
		return nil
	}
	clone := filepath.Join(s.layout.Golden, metaAlias)
	if _, err := os.Stat(clone); os.IsNotExist(err) {
		if err := os.Mkdir(clone, 0o755); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "git", "-C", clone, "init", "-q").CombinedOutput(); err != nil {
			s.log.Printf("git init of cidx-meta: %v: %s", err, out)
		}
	}
	now := stamp(time.Now())
	added, err := s.store.Insert(ctx, "golden_repos_metadata", schema.Row{
		"alias": metaAlias, "repo_url": "local://cidx-meta", "default_branch": "main", "clone_path": clone, "created_at": now,
	})
	if err != nil {
		return err
	}
	_, err = s.store.Insert(ctx, "global_repos", schema.Row{
		"alias_name": metaAlias + "-global", "repo_name": metaAlias, "repo_url": "local://cidx-meta",
		"index_path": clone, "created_at": now, "last_refresh": now,
	})
	if err != nil {
		return err
	}
	if added && s.opt.RealStart { // registered anew: whatever snapshot the alias file named is forgotten
		if err := s.layout.CreateAlias(metaAlias+"-global", metaAlias, clone, time.Now()); err != nil {
			return err
		}
	}
	return s.repairAliases(ctx)
}

func (s *Server) repairAliases(ctx context.Context) error {
	rows, err := s.store.Rows(ctx, "global_repos", "SELECT alias_name, repo_name FROM global_repos ORDER BY alias_name")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.layout.Aliases, 0o755); err != nil {
		return err
	}
	for _, r := range rows {
		if _, err := os.Lstat(s.layout.AliasFile(r.Text("alias_name"))); !os.IsNotExist(err) {
			continue
		}
		clone := filepath.Join(s.layout.Golden, r.Text("repo_name"))
		if info, err := os.Stat(clone); err != nil || !info.IsDir() {
			continue
		}
		s.log.Printf("alias file of %s is missing: pointing it at the clone", r.Text("alias_name"))
		if err := s.layout.CreateAlias(r.Text("alias_name"), r.Text("repo_name"), clone, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// stamp spells an instant as CIDX stores it: UTC, microseconds, numeric offset.
func stamp(t time.Time) string { return repos.ISO(t) }
