package standin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cidx-cluster/e2e/standin/internal/repos"
	"cidx-cluster/e2e/standin/internal/schema"
)

var (
	errUnknownRepo = errors.New("repository not found")
	errNoAccess    = errors.New("access denied")
	errNoProvider  = errors.New("embedding provider does not answer")
)

// question is one search, by REST or MCP.
type question struct {
	Text     string   `json:"query_text"`
	Alias    string   `json:"repository_alias"`
	Limit    int      `json:"limit"`
	Mode     string   `json:"search_mode"`
	MinScore *float64 `json:"min_score"`
}

// leastScore is the score that a semantic hit needs unless the question says otherwise.
const leastScore = 0.41

func (q *question) normalize() error {
	if q.Limit <= 0 {
		q.Limit = 10
	}
	if q.Mode == "" {
		q.Mode = "semantic"
	}
	if q.Mode != "fts" && q.Mode != "semantic" && q.Mode != "hybrid" {
		return fmt.Errorf("search_mode: %q is none of semantic, fts, hybrid", q.Mode)
	}
	return nil
}

// search answers a question and records it, as CIDX does with every search. A row that cannot be written does not fail
// the search: it stands in the log and degrades the health.
func (s *Server) search(ctx context.Context, u user, q question) (fts, semantic []repos.Hit, err error) {
	began := time.Now()
	if fts, semantic, err = s.find(ctx, u, q); err != nil {
		return nil, nil, err
	}
	err = s.store.Add(ctx, "search_event_log", schema.Row{
		"timestamp": float64(began.UnixMicro()) / 1e6, "username": u.name, "repo_alias": q.Alias, "search_type": q.Mode,
		"query_text": q.Text, "total_latency_ms": time.Since(began).Milliseconds(), "result_count": len(fts) + len(semantic),
		"node_id": s.jobNode(),
	})
	if err != nil {
		s.log.Printf("ERROR search event not recorded: %v", err)
		s.health.complain("search events cannot be recorded")
	}
	return fts, semantic, nil
}

// find searches the directory that the alias points at. fts and semantic hits come apart; hybrid asks both.
func (s *Server) find(ctx context.Context, u user, q question) (fts, semantic []repos.Hit, err error) {
	root, err := s.searchRoot(ctx, u, q.Alias)
	if err != nil {
		return nil, nil, err
	}
	if q.Mode != "semantic" {
		fts, err = repos.FullText(root, q.Text, q.Limit)
		if errors.Is(err, repos.ErrNoIndex) && q.Alias == metaAlias+"-global" {
			err = nil // its index may still be being made: no hits, no error
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if q.Mode != "fts" {
		if s.faults.NoEmbeddings {
			return nil, nil, errNoProvider
		}
		score := leastScore
		if q.MinScore != nil {
			score = *q.MinScore
		}
		semantic, err = repos.Semantic(root, q.Text, q.Limit, score)
	}
	return fts, semantic, err
}

// searchRoot finds the directory of a global repository or of one of the user's activations. A golden repository whose
// clone lies outside golden-repos is refused whatever its alias says.
func (s *Server) searchRoot(ctx context.Context, u user, alias string) (string, error) {
	row, err := s.store.Row1(ctx, "global_repos", "SELECT repo_name, index_path FROM global_repos WHERE alias_name = ?", alias)
	if err != nil {
		return "", err
	}
	if row == nil {
		return s.activatedRoot(ctx, u, alias)
	}
	may, err := s.mayRead(ctx, u)
	if err != nil {
		return "", err
	}
	if !may(row.Text("repo_name")) {
		return "", fmt.Errorf("%w: %s", errNoAccess, alias)
	}
	golden, err := s.goldenRow(ctx, row.Text("repo_name"))
	if err != nil {
		return "", err
	}
	if golden != nil {
		if _, err := s.layout.Resolve(golden.Text("alias"), golden.Text("clone_path")); errors.Is(err, repos.ErrOutside) {
			return "", err
		}
	}
	return s.layout.Target(alias, row.Text("index_path"))
}

func (s *Server) activatedRoot(ctx context.Context, u user, alias string) (string, error) {
	list, err := s.activations(ctx, u.name)
	if err != nil {
		return "", err
	}
	for _, a := range list {
		if a.alias == alias {
			if err := s.touch(ctx, a); err != nil {
				return "", err
			}
			return s.layout.ActivatedDir(a.user, a.alias), nil
		}
	}
	return "", fmt.Errorf("%w: %s", errUnknownRepo, alias)
}

// query is POST /api/query.
func (s *Server) query(r *http.Request, u user) (any, error) {
	var q question
	if err := body(r, &q); err != nil {
		return nil, err
	}
	if strings.TrimSpace(q.Text) == "" {
		return nil, missing("query_text")
	}
	if err := q.normalize(); err != nil {
		return nil, unprocessable([]any{map[string]any{"type": "value_error", "loc": []any{"body", "search_mode"}, "msg": err.Error()}})
	}
	fts, semantic, err := s.search(r.Context(), u, q)
	if errors.Is(err, errNoAccess) { // as if nothing were found
		err = nil
	}
	switch {
	case errors.Is(err, errUnknownRepo):
		return nil, refuse(http.StatusNotFound, fmt.Sprintf("Repository '%s' not found", q.Alias))
	case errors.Is(err, repos.ErrNoIndex):
		return nil, refuse(http.StatusBadRequest, map[string]any{
			"error": "index_not_available", "message": err.Error(), "available_modes": []string{}, "repository_alias": q.Alias,
		})
	case err != nil:
		return nil, refuse(http.StatusInternalServerError, err.Error())
	case q.Mode == "semantic":
		return map[string]any{
			"results": semanticResults(semantic, q.Alias), "total_results": len(semantic),
			"query_metadata": map[string]any{"query_text": q.Text, "execution_time_ms": 1, "repositories_searched": 1},
		}, nil
	}
	return map[string]any{
		"search_mode": q.Mode, "query": q.Text, "fts_results": ftsResults(fts, q.Alias),
		"semantic_results": semanticResults(semantic, q.Alias),
		"metadata":         map[string]any{"search_mode_actual": q.Mode, "fts_available": true, "total_results": len(fts) + len(semantic)},
	}, nil
}

func ftsResults(hits []repos.Hit, alias string) []any {
	out := make([]any, 0, len(hits))
	for _, h := range hits {
		out = append(out, map[string]any{
			"path": h.Path, "line_start": h.Line, "line_end": h.EndLine, "snippet": h.Snippet,
			"language": h.Language, "repository_alias": alias,
		})
	}
	return out
}

func semanticResults(hits []repos.Hit, alias string) []any {
	out := make([]any, 0, len(hits))
	for _, h := range hits {
		out = append(out, map[string]any{
			"file_path": h.Path, "line_number": max(1, h.Line), "code_snippet": h.Snippet,
			"similarity_score": h.Score, "repository_alias": alias,
		})
	}
	return out
}
