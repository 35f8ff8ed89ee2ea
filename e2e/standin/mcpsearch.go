package standin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cidx-cluster/e2e/standin/internal/repos"
)

// toolSearch is the tool search_code. One alias answers with a list, several with a list for each. A question without text is
// the tool's own failure; a repository that the caller may not see is one of the protocol.
func (s *Server) toolSearch(ctx context.Context, u user, raw json.RawMessage) (any, error) {
	q, names, err := mcpQuestion(raw)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(q.Text) == "" {
		return failure("Missing required parameter: query_text"), nil
	}
	if err := q.normalize(); err != nil {
		return nil, &rpcError{codeParams, "Invalid params: " + err.Error()}
	}
	byRepo := map[string]any{}
	for _, name := range names {
		q.Alias = name
		hits, err := s.mcpHits(ctx, u, q)
		switch {
		case errors.Is(err, errNoAccess):
			return nil, &rpcError{codeParams, "Access denied: " + name}
		case errors.Is(err, errUnknownRepo):
			return s.unknownAlias(ctx, u, name), nil
		case err != nil:
			return failure(err.Error()), nil
		}
		byRepo[name] = mcpResults(hits, name)
	}
	if len(names) > 1 {
		return map[string]any{"success": true, "results": map[string]any{"results_by_repo": byRepo}}, nil
	}
	return map[string]any{"success": true, "results": byRepo[names[0]]}, nil
}

// mcpQuestion reads the arguments; repository_alias is a name or a list of names.
func mcpQuestion(raw json.RawMessage) (q question, names []string, err error) {
	var in struct {
		question
		Alias json.RawMessage `json:"repository_alias"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return q, nil, &rpcError{codeParams, "Invalid params: arguments must be an object"}
	}
	if json.Unmarshal(in.Alias, &names) != nil || len(names) == 0 {
		names = make([]string, 1)
		_ = json.Unmarshal(in.Alias, &names[0]) // absent: an alias that nobody has
	}
	return in.question, names, nil
}

// mcpHits are what one repository answers. The name of a golden repository, without -global, finds nothing.
func (s *Server) mcpHits(ctx context.Context, u user, q question) ([]repos.Hit, error) {
	fts, semantic, err := s.search(ctx, u, q)
	if errors.Is(err, errUnknownRepo) {
		row, goldenErr := s.goldenRow(ctx, q.Alias)
		if goldenErr != nil || row != nil {
			return nil, goldenErr
		}
	}
	return append(fts, semantic...), err
}

func mcpResults(hits []repos.Hit, alias string) any {
	list := make([]any, 0, len(hits))
	for _, h := range hits {
		list = append(list, map[string]any{
			"file_path": h.Path, "line_number": max(1, h.Line), "code_snippet": h.Snippet, "language": h.Language,
			"similarity_score": h.Score, "repository_alias": alias, "source_repo": alias,
		})
	}
	return map[string]any{
		"results": list, "total_results": len(list),
		"query_metadata": map[string]any{"execution_time_ms": 1, "repositories_searched": 1},
	}
}

func failure(text string) map[string]any {
	return map[string]any{"success": false, "error": text, "results": []any{}}
}

// unknownAlias suggests what the caller may have meant.
func (s *Server) unknownAlias(ctx context.Context, u user, name string) any {
	out := failure(fmt.Sprintf("Repository '%s' not found", name))
	list, err := s.globalList(ctx, u)
	if err != nil {
		return out
	}
	suggestions := []any{}
	for _, r := range list[:min(3, len(list))] {
		suggestions = append(suggestions, r.(map[string]any)["user_alias"])
	}
	out["suggestions"] = suggestions
	return out
}
