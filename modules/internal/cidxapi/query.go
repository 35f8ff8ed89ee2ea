package cidxapi

import (
	"context"
	"net/http"

	"github.com/tidwall/gjson"
)

// Search modes of CIDX. FullText needs local files only; Semantic also calls
// the embedding provider over the internet.
const (
	FullText = "fts"
	Semantic = "semantic"
)

// Query is one search. Several words are all required by the full-text search.
type Query struct {
	Text  string
	Alias string // e.g. "billing-global"
	Mode  string // FullText or Semantic
	Limit int    // 0: 5
}

// Found is what a search answered.
type Found struct {
	Total int   // hits, at most Query.Limit
	Hits  []Hit // one each
	// Unavailable is set when the server could not ask its embedding provider:
	// no hits then says nothing about the repository.
	Unavailable bool
}

// Hit is one result.
type Hit struct {
	Path  string // as the server spells it: relative to the repository, or absolute
	Alias string // the repository it says it is from
}

// Search calls the MCP tool search_code. No hits is no error.
func (c *Client) Search(ctx context.Context, q Query) (Found, error) {
	arguments := map[string]any{
		"query_text": q.Text, "repository_alias": q.Alias, "search_mode": q.Mode, "limit": q.limit(),
	}
	if q.Mode == Semantic {
		arguments["min_score"] = 0.0 // the question is whether the index answers, not how well
	}
	var answer rawJSON
	if err := c.Tool(ctx, "search_code", arguments, &answer); err != nil {
		return Found{}, err
	}
	doc := gjson.ParseBytes(answer)
	list := doc.Get("results.results")
	if !list.IsArray() {
		list = doc.Get("results") // several repositories at once are answered flat
	}
	found := foundIn(list)
	completeness := doc.Get("results.query_metadata.completeness").Str
	found.Unavailable = found.Total == 0 && completeness == "providers_unavailable"
	return found, nil
}

// QueryREST asks POST /api/query, for what MCP may be closed to. No hits is no
// error; an unknown alias is a *StatusError 404, a missing full-text index 400.
func (c *Client) QueryREST(ctx context.Context, q Query) (Found, error) {
	request := map[string]any{
		"query_text": q.Text, "repository_alias": q.Alias, "search_mode": q.Mode, "limit": q.limit(),
	}
	var answer rawJSON
	if err := c.call(ctx, http.MethodPost, "/api/query", request, &answer); err != nil {
		return Found{}, err
	}
	doc := gjson.ParseBytes(answer)
	for _, key := range []string{"fts_results", "results", "semantic_results"} {
		if list := doc.Get(key); list.IsArray() && len(list.Array()) > 0 {
			return foundIn(list), nil
		}
	}
	return Found{}, nil
}

func (q Query) limit() int {
	if q.Limit > 0 {
		return q.Limit
	}
	return 5
}

func foundIn(list gjson.Result) Found {
	var f Found
	for _, item := range list.Array() {
		h := Hit{Path: item.Get("file_path").Str, Alias: item.Get("source_repo").Str}
		if h.Path == "" {
			h.Path = item.Get("path").Str
		}
		if h.Alias == "" {
			h.Alias = item.Get("repository_alias").Str
		}
		f.Hits = append(f.Hits, h)
	}
	f.Total = len(f.Hits)
	return f
}

// rawJSON keeps an answer as it is.
type rawJSON []byte

// UnmarshalJSON copies the bytes.
func (r *rawJSON) UnmarshalJSON(raw []byte) error {
	*r = append((*r)[:0], raw...)
	return nil
}
