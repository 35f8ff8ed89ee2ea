// Package search asks a server whether it finds what stands in a repository's own
// files, because a search without hits is no error for CIDX. Where it finds nothing,
// what the standalone server has answered before says whether that may be.
package search

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// Asker asks for one repository after the other.
type Asker struct {
	API     *cidxapi.Client
	Folders []string          // that hold repositories
	Queries map[string]string // the operator's words, by alias
	Before  Memory            // what the standalone server answered
}

// Result is what is told of one repository.
type Result struct {
	Alias      string           `json:"alias"`
	Golden     string           `json:"golden,omitempty"`
	Accessible bool             `json:"accessible"`
	Hits       int              `json:"hits"` // with a path that exists below the target
	Word       string           `json:"word,omitempty"`
	Mode       string           `json:"mode,omitempty"` // fts, semantic; "files" where there is nothing to search
	Path       string           `json:"path,omitempty"` // of the first hit
	Problem    *problem.Problem `json:"-"`
	Warning    string           `json:"-"`
	Answer     Answer           `json:"-"` // the best of its searches
	Excused    bool             `json:"-"` // without hits, and rightly so
}

// Refuse makes a problem of it.
func (r *Result) Refuse(what, fix string) {
	r.Accessible, r.Problem = false, &problem.Problem{What: what, At: r.Alias, Fix: fix}
}

// Ask proves that a repository answers with files of its own: alias is what CIDX
// searches it by, golden the name of the repository, target the folder of its files.
func (a Asker) Ask(ctx context.Context, alias, golden, target string) Result {
	r := Result{Alias: alias, Golden: golden}
	words, given, err := a.words(ctx, alias, golden, target)
	outside := errors.Is(err, errOutside)
	if err != nil && !outside {
		r.Refuse("look for a word: "+err.Error(),
			"make "+target+" readable for the user that runs the migration, or set cidx_verify_queries")
		return r
	}
	a.ask(ctx, &r, target, words)
	if outside {
		r.Warning = fmt.Sprintf("%s: searched without a word of its files: %v", r.Alias, err)
	}
	if r.Problem != nil && given {
		r.Problem.Fix = "give another word for it in cidx_verify_queries, or leave it out; " + r.Problem.Fix
	}
	return r
}

// words are the operator's, or such as stand in the repository's own files.
func (a Asker) words(ctx context.Context, alias, golden, target string) (words []string, given bool, err error) {
	for _, name := range []string{alias, golden} {
		if w := a.Queries[name]; w != "" {
			return []string{w}, true, nil
		}
	}
	words, err = wordsIn(ctx, a.Folders, target)
	return words, false, err
}

// ask searches for the words until one is found. A repository without a
// full-text index is asked semantically.
func (a Asker) ask(ctx context.Context, r *Result, target string, words []string) {
	asked := words
	if len(words) == 0 {
		asked = []string{"readme"}
	}
	modes := []string{cidxapi.FullText, cidxapi.Semantic}
	if !home.IsFolder(filepath.Join(target, ".code-indexer", "tantivy_index")) {
		modes = modes[1:]
	}
	var failures []string
	for _, mode := range modes {
		got, failure := a.askIn(ctx, r, target, mode, asked)
		r.Answer = max(r.Answer, got)
		if failure == "" {
			return
		}
		failures = append(failures, mode+": "+failure)
	}
	said := strings.Join(failures, "; ")
	if why := a.excused(r, target, words); why != "" {
		r.Accessible, r.Excused = true, true
		r.Warning = fmt.Sprintf("%s: the search finds nothing in it (%s); %s", r.Alias, said, why)
		return
	}
	r.Refuse("the search finds nothing: "+said, "see the server's log for this repository; re-index it in CIDX if its index is damaged")
}

// askIn searches in one mode. Where failure is "", r is complete.
func (a Asker) askIn(ctx context.Context, r *Result, target, mode string, words []string) (got Answer, failure string) {
	strange := 0
	for _, word := range words {
		hits, err := a.searchTwice(ctx, cidxapi.Query{Text: word, Alias: r.Alias, Mode: mode, Limit: 10})
		if providerGone(hits, err, mode) {
			r.Accessible, r.Mode, r.Word = true, mode, word
			r.Warning = r.Alias + ": has no full-text index, and the server cannot reach its embedding provider; its files are at " + target
			return nothing, ""
		}
		if err != nil {
			return answered(err), cidxapi.Short(err)
		}
		paths := below(target, r.Alias, hits.Hits)
		if len(paths) > 0 {
			r.Accessible, r.Hits, r.Word, r.Mode, r.Path = true, len(paths), word, mode, paths[0]
			return Found, ""
		}
		strange += hits.Total
		r.Word, r.Mode = word, mode
	}
	if strange > 0 {
		return refused, fmt.Sprintf("%d hits, but none of their files is below %s", strange, target)
	}
	return nothing, "no hits for " + strings.Trim(fmt.Sprintf("%q", words), "[]")
}

// answered tells an error that the server has answered from silence.
func answered(err error) Answer {
	var tool *cidxapi.ToolError
	var status *cidxapi.StatusError
	if errors.As(err, &tool) || errors.As(err, &status) && status.Status < 500 {
		return refused
	}
	return silent
}

// searchTwice asks the MCP tool and, where that fails for no stated reason, the
// REST API a second later: a server that has just started may still be loading
// an index. An answer that names its reason is not asked for again.
func (a Asker) searchTwice(ctx context.Context, q cidxapi.Query) (cidxapi.Found, error) {
	hits, err := a.API.Search(ctx, q)
	if err == nil || ctx.Err() != nil || definite(err) {
		return hits, err
	}
	select {
	case <-ctx.Done():
		return hits, err
	case <-time.After(time.Second):
	}
	again, second := a.API.QueryREST(ctx, q)
	if second != nil {
		return again, fmt.Errorf("search_code: %s; POST /api/query: %w", cidxapi.Short(err), second)
	}
	return again, nil
}

// definite reports an answer that will not change: a missing index or alias, a
// provider that is away.
func definite(err error) bool {
	var refused *cidxapi.ToolError
	if !errors.As(err, &refused) {
		return false
	}
	text := strings.ToLower(refused.Message)
	says := func(word string) bool { return strings.Contains(text, word) }
	return refused.Code != 0 || says("not found") || says("index") || says("embedding")
}

// providerGone tells a semantic search that could not be made, because the
// embedding provider on the internet is away, from one that found nothing.
func providerGone(found cidxapi.Found, err error, mode string) bool {
	if mode != cidxapi.Semantic {
		return false
	}
	if err == nil {
		return found.Unavailable
	}
	var refused *cidxapi.ToolError
	return errors.As(err, &refused) && strings.Contains(strings.ToLower(refused.Message), "embedding")
}

// below keeps the hits whose file exists below target. CIDX spells paths
// relative to the repository, with the alias before them, or absolute.
func below(target, alias string, hits []cidxapi.Hit) []string {
	root, err := filepath.EvalSymlinks(target)
	if err != nil {
		return nil
	}
	var paths []string
	for _, h := range hits {
		if h.Path == "" || (h.Alias != "" && h.Alias != alias) {
			continue
		}
		candidates := []string{filepath.Join(root, h.Path), filepath.Join(root, strings.TrimPrefix(h.Path, alias+"/"))}
		if filepath.IsAbs(h.Path) {
			candidates = []string{h.Path}
		}
		for _, c := range candidates {
			if inside(root, c) {
				paths = append(paths, h.Path)
				break
			}
		}
	}
	return paths
}

// inside reports whether path exists at or below root. Both the path as spelt
// and what it resolves to count: a repository may hold links that leave it.
func inside(root, path string) bool {
	if _, err := os.Stat(path); err != nil {
		return false
	}
	if strings.HasPrefix(filepath.Clean(path), root+"/") {
		return true
	}
	resolved, err := filepath.EvalSymlinks(path)
	return err == nil && strings.HasPrefix(resolved, root+"/")
}
