package cidxapi

import (
	"context"
	"net/http"
)

// GoldenRepo is a row of GET /api/admin/golden-repos.
type GoldenRepo struct {
	Alias     string `json:"alias"`
	RepoURL   string `json:"repo_url"`
	Branch    string `json:"default_branch"`
	ClonePath string `json:"clone_path"`
}

// GoldenRepos lists the golden repositories; it needs an administrator. The
// server reads its registry and does not look at the files.
func (c *Client) GoldenRepos(ctx context.Context) ([]GoldenRepo, error) {
	var answer struct {
		Repositories []GoldenRepo `json:"golden_repositories"`
	}
	err := c.call(ctx, http.MethodGet, "/api/admin/golden-repos", nil, &answer)
	return answer.Repositories, err
}

// Repository is an entry of the MCP tool list_repositories.
type Repository struct {
	Alias  string `json:"user_alias"`        // what to query, e.g. "billing-global"
	Golden string `json:"golden_repo_alias"` // e.g. "billing"
	Global bool   `json:"is_global"`         // false: activated by this user
}

// Repositories lists what this user can query: the global repositories that
// the user's groups may see, and the user's activated ones. CIDX only logs when
// it cannot load the global part: the list is then short, not an error, so
// compare it with the registry. The server does not look at the files.
func (c *Client) Repositories(ctx context.Context) ([]Repository, error) {
	var answer struct {
		Repositories []Repository `json:"repositories"`
	}
	err := c.Tool(ctx, "list_repositories", map[string]any{}, &answer)
	return answer.Repositories, err
}
