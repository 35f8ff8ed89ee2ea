package standin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/standin/internal/crypt"
	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

// mayRead returns the test "may this user read that golden repository": administrators and members of admins read
// all, others what their group was granted, and cidx-meta.
func (s *Server) mayRead(ctx context.Context, u user) (func(alias string) bool, error) {
	if u.role == "admin" {
		return func(string) bool { return true }, nil
	}
	group, err := s.store.Row1(ctx, "groups", `SELECT g.id, g.name FROM groups g
		JOIN user_group_membership m ON m.group_id = g.id WHERE m.user_id = ?`, u.name)
	if err != nil {
		return nil, err
	}
	if group.Text("name") == "admins" {
		return func(string) bool { return true }, nil
	}
	granted := map[string]bool{metaAlias: true}
	rows, err := s.store.Rows(ctx, "repo_group_access", "SELECT repo_name FROM repo_group_access WHERE group_id = ?", group.Int("id"))
	for _, r := range rows {
		granted[r.Text("repo_name")] = true
	}
	return func(alias string) bool { return granted[alias] }, err
}

func (s *Server) listGolden(r *http.Request, _ user) (any, error) {
	rows, err := s.goldenRows(r.Context())
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(rows))
	for _, row := range rows {
		list = append(list, golden(row))
	}
	return map[string]any{"golden_repositories": list, "total": len(list)}, nil
}

func golden(row schema.Row) map[string]any {
	var options any
	if text := row.Text("temporal_options"); gjson.Valid(text) {
		options = gjson.Parse(text).Value()
	}
	return map[string]any{
		"alias": row.Text("alias"), "repo_url": row.Text("repo_url"), "default_branch": row.Text("default_branch"),
		"clone_path": row.Text("clone_path"), "created_at": row.Text("created_at"),
		"enable_temporal": row.Flag("enable_temporal"), "temporal_options": options, "wiki_enabled": row.Flag("wiki_enabled"),
	}
}

// showGolden resolves the repository on disk, unlike the lists: a clone outside golden-repos is an error.
func (s *Server) showGolden(r *http.Request, u user) (any, error) {
	alias := r.PathValue("alias")
	may, err := s.mayRead(r.Context(), u)
	if err != nil {
		return nil, err
	}
	row, err := s.goldenRow(r.Context(), alias)
	if err != nil {
		return nil, err
	}
	if row == nil || !may(alias) {
		return nil, refuse(http.StatusNotFound, fmt.Sprintf("Golden repository '%s' not found", alias))
	}
	path, err := s.layout.Resolve(alias, row.Text("clone_path"))
	if errors.Is(err, repos.ErrAbsent) {
		return nil, refuse(http.StatusNotFound, fmt.Sprintf("Golden repository '%s' not found on the file system", alias))
	}
	if err != nil {
		return nil, refuse(http.StatusInternalServerError, err.Error())
	}
	out := golden(row)
	out["path"] = path
	return out, nil
}

func (s *Server) goldenRow(ctx context.Context, alias string) (schema.Row, error) {
	return s.store.Row1(ctx, "golden_repos_metadata", "SELECT * FROM golden_repos_metadata WHERE alias = ?", alias)
}

// listActivated is GET /api/repos: the caller's activations. In a cluster a time that is NULL fails the whole list.
func (s *Server) listActivated(r *http.Request, u user) (any, error) {
	found, err := s.activations(r.Context(), u.name)
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, len(found))
	for _, a := range found {
		if s.cfg.cluster && (a.at == nil || a.accessed == nil) {
			return nil, fmt.Errorf("list activated repositories: %s: activated_at or last_accessed is NULL", a.alias)
		}
		list = append(list, a.listing())
	}
	return map[string]any{"repositories": list, "total": len(list)}, nil
}

func (s *Server) refreshGolden(r *http.Request, _ user) (any, error) {
	alias := r.PathValue("alias")
	row, err := s.goldenRow(r.Context(), alias)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, refuse(http.StatusNotFound, fmt.Sprintf("Golden repository '%s' not found", alias))
	}
	err = s.refresh(r.Context(), alias, row.Text("clone_path"))
	if errors.Is(err, errJob) {
		return nil, refuse(http.StatusConflict, err.Error())
	}
	if err != nil {
		return nil, err
	}
	return withStatus{http.StatusAccepted, map[string]any{"message": fmt.Sprintf("Golden repository '%s' refreshed", alias)}}, nil
}

func (s *Server) createUser(r *http.Request, by user) (any, error) {
	var in struct{ Username, Password, Role string }
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if lacks := absent(map[string]string{"username": in.Username, "password": in.Password, "role": in.Role}); len(lacks) > 0 {
		return nil, missing(lacks...)
	}
	added, err := s.store.Insert(r.Context(), "users", schema.Row{
		"username": in.Username, "password_hash": crypt.HashPassword(in.Password), "role": in.Role, "created_at": stamp(time.Now()),
	})
	if err != nil {
		return nil, err
	}
	if !added {
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf("User already exists: %s", in.Username))
	}
	err = s.store.Add(r.Context(), "audit_logs", schema.Row{
		"timestamp": stamp(time.Now()), "admin_id": by.name, "action_type": "user_create", "target_type": "user",
		"target_id": in.Username,
	})
	if err != nil {
		return nil, err
	}
	made := map[string]any{"username": in.Username, "role": in.Role}
	return withStatus{http.StatusCreated, map[string]any{"user": made, "message": "User created"}}, nil
}

// reportTokens is the stand-in's own: which encrypted tokens the present salt opens.
func (s *Server) reportTokens(r *http.Request, _ user) (any, error) {
	ci, err := s.checkTokens(r.Context(), "ci_tokens", "platform")
	if err != nil {
		return nil, err
	}
	git, err := s.checkTokens(r.Context(), "user_git_credentials", "credential_id")
	if err != nil {
		return nil, err
	}
	return map[string]any{"ci_tokens": ci, "user_git_credentials": git}, nil
}
