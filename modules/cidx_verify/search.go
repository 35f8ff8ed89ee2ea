package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/problem"
)

// result is what is told of one repository.
type result struct {
	Alias      string `json:"alias"`
	Golden     string `json:"golden,omitempty"`
	Accessible bool   `json:"accessible"`
	Hits       int    `json:"hits"` // with a path that exists below the target
	Word       string `json:"word,omitempty"`
	Mode       string `json:"mode,omitempty"` // fts, semantic; "files" where there is nothing to search
	Path       string `json:"path,omitempty"` // of the first hit
	problem    *problem.Problem
	warning    string
	answer     answer // the best of its searches
	excused    bool   // without hits, and rightly so
}

func (r *result) refuse(what, fix string) {
	r.Accessible, r.problem = false, &problem.Problem{What: what, At: r.Alias, Fix: fix}
}

// search proves that one repository answers with files of its own.
func (v *verification) search(ctx context.Context, e entry) result {
	r := result{Alias: e.name(), Golden: e.Golden}
	target, err := v.target(e)
	if err != nil {
		r.refuse(err.Error(), "find the repository's files and copy them to the share, then run the same playbook again; or remove the repository in CIDX")
		return r
	}
	if e.Global == "" {
		r.Accessible, r.Mode = true, "files"
		r.warning = fmt.Sprintf("%s: has no global alias, so it cannot be searched; its files are at %s", e.Golden, target)
		return r
	}
	words, given, err := v.words(ctx, e, target)
	outside := errors.Is(err, errOutside)
	if err != nil && !outside {
		r.refuse("look for a word: "+err.Error(), "make "+target+" readable for the user that runs the migration, or set cidx_verify_queries")
		return r
	}
	v.ask(ctx, &r, target, words)
	if outside {
		r.warning = fmt.Sprintf("%s: searched without a word of its files: %v", r.Alias, err)
	}
	if r.problem != nil && given {
		r.problem.Fix = "give another word for it in cidx_verify_queries, or leave it out; " + r.problem.Fix
	}
	return r
}

// words are the operator's, or such as stand in the repository's own files.
func (v *verification) words(ctx context.Context, e entry, target string) (words []string, given bool, err error) {
	for _, alias := range []string{e.Global, e.Golden} {
		if w := v.args.Queries[alias]; w != "" {
			return []string{w}, true, nil
		}
	}
	words, err = wordsIn(ctx, v.folders(), target)
	return words, false, err
}

// folders are those that hold repositories. Snapshots may lie on another disk,
// behind a link: in a folder that belongs to the owner of the home.
func (v *verification) folders() []string {
	var list []string
	for _, t := range v.layout.Trees {
		list = append(list, t.Link, t.Local, t.Target)
		if snapshots := filepath.Join(t.Link, ".versioned"); sameOwner(v.args.Home, snapshots) {
			list = append(list, snapshots)
		}
	}
	return list
}

func sameOwner(a, b string) bool {
	var one, other unix.Stat_t
	return unix.Stat(a, &one) == nil && unix.Stat(b, &other) == nil && one.Uid == other.Uid
}

// ask searches for the words until one is found. A repository without a
// full-text index is asked semantically.
func (v *verification) ask(ctx context.Context, r *result, target string, words []string) {
	asked := words
	if len(words) == 0 {
		asked = []string{"readme"}
	}
	modes := []string{cidxapi.FullText, cidxapi.Semantic}
	if !isFolder(filepath.Join(target, ".code-indexer", "tantivy_index")) {
		modes = modes[1:]
	}
	var failures []string
	for _, mode := range modes {
		got, failure := v.askIn(ctx, r, target, mode, asked)
		r.answer = max(r.answer, got)
		if failure == "" {
			return
		}
		failures = append(failures, mode+": "+failure)
	}
	said := strings.Join(failures, "; ")
	if why := v.excused(r, target, words); why != "" {
		r.Accessible, r.excused = true, true
		r.warning = fmt.Sprintf("%s: the search finds nothing in it (%s); %s", r.Alias, said, why)
		return
	}
	r.refuse("the search finds nothing: "+said, "see the server's log for this repository; re-index it in CIDX if its index is damaged")
}

// askIn searches in one mode. Where failure is "", r is complete.
func (v *verification) askIn(ctx context.Context, r *result, target, mode string, words []string) (got answer, failure string) {
	strange := 0
	for _, word := range words {
		hits, err := v.searchTwice(ctx, cidxapi.Query{Text: word, Alias: r.Alias, Mode: mode, Limit: 10})
		if providerGone(hits, err, mode) {
			r.Accessible, r.Mode, r.Word = true, mode, word
			r.warning = r.Alias + ": has no full-text index, and the server cannot reach its embedding provider; its files are at " + target
			return nothing, ""
		}
		if err != nil {
			return answered(err), short(err)
		}
		paths := below(target, r.Alias, hits.Hits)
		if len(paths) > 0 {
			r.Accessible, r.Hits, r.Word, r.Mode, r.Path = true, len(paths), word, mode, paths[0]
			return found, ""
		}
		strange += hits.Total
		r.Word, r.Mode = word, mode
	}
	if strange > 0 {
		return refused, fmt.Sprintf("%d hits, but none of their files is below %s", strange, target)
	}
	return nothing, "no hits for " + quoted(words)
}

// answered tells an error that the server has answered from silence.
func answered(err error) answer {
	var tool *cidxapi.ToolError
	var status *cidxapi.StatusError
	if errors.As(err, &tool) || errors.As(err, &status) && status.Status < 500 {
		return refused
	}
	return silent
}

func quoted(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(list, ", ")
}

// searchTwice asks the MCP tool and, where that fails for no stated reason, the
// REST API a second later: a server that has just started may still be loading
// an index. An answer that names its reason is not asked for again.
func (v *verification) searchTwice(ctx context.Context, q cidxapi.Query) (cidxapi.Found, error) {
	hits, err := v.api.Search(ctx, q)
	if err == nil || ctx.Err() != nil || definite(err) {
		return hits, err
	}
	select {
	case <-ctx.Done():
		return hits, err
	case <-time.After(time.Second):
	}
	again, second := v.api.QueryREST(ctx, q)
	if second != nil {
		return again, fmt.Errorf("search_code: %s; POST /api/query: %w", short(err), second)
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
	return refused.Code != 0 || strings.Contains(text, "not found") || strings.Contains(text, "index") || strings.Contains(text, "embedding")
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
