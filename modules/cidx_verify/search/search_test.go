package search

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"cidx-cluster/modules/internal/cidxapi"
)

func TestBelowBelievesOnlyFilesOfTheRepository(t *testing.T) {
	base := t.TempDir()
	dir, link := filepath.Join(base, "share", "billing"), filepath.Join(base, "link")
	must(t, os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "src", "a.py"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(base, "other.py"), nil, 0o644))
	must(t, os.Symlink(dir, link))
	for name, c := range map[string]struct {
		hit  cidxapi.Hit
		want bool
	}{
		"relative":                             {cidxapi.Hit{Path: "src/a.py"}, true},
		"relative, behind the alias":           {cidxapi.Hit{Path: "billing-global/src/a.py"}, true},
		"absolute below the target":            {cidxapi.Hit{Path: filepath.Join(dir, "src/a.py")}, true},
		"absolute through the link":            {cidxapi.Hit{Path: filepath.Join(link, "src/a.py")}, true},
		"a file that is not there":             {cidxapi.Hit{Path: "src/b.py"}, false},
		"a file elsewhere":                     {cidxapi.Hit{Path: filepath.Join(base, "other.py")}, false},
		"a file elsewhere, relative":           {cidxapi.Hit{Path: "../../other.py"}, false},
		"of another repository":                {cidxapi.Hit{Path: "src/a.py", Alias: "web-global"}, false},
		"without a path":                       {cidxapi.Hit{Alias: "billing-global"}, false},
		"the repository's folder itself is no": {cidxapi.Hit{Path: "."}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(below(link, "billing-global", []cidxapi.Hit{c.hit})) == 1; got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A server whose search_code has a bad moment is asked by its other door.
func TestASearchThatFailsOnceIsAskedAgainByREST(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a.py"), []byte("findable"), 0o644))
	must(t, os.MkdirAll(filepath.Join(dir, ".code-indexer/tantivy_index"), 0o755))
	for name, c := range map[string]struct {
		inner, rest string
		status      int
		accessible  bool
	}{
		"REST finds it":           {`{"success":false,"error":"internal error"}`, `{"fts_results":[{"path":"a.py","repository_alias":"x-global"}]}`, 200, true},
		"REST finds nothing":      {`{"success":false,"error":"internal error"}`, `{"fts_results":[]}`, 200, false},
		"REST fails as well":      {`{"success":false,"error":"internal error"}`, `{"detail":"internal error"}`, 500, false},
		"the index is not there":  {`{"success":false,"error":"full-text index not found"}`, `{"fts_results":[{"path":"a.py"}]}`, 200, false},
		"MCP finds another file":  {`{"success":true,"results":{"results":[{"file_path":"b.py"}]}}`, `{}`, 200, false},
		"MCP finds it":            {`{"success":true,"results":{"results":[{"file_path":"a.py"}]}}`, `{}`, 500, true},
		"the provider is no clue": {`{"success":true,"results":{"results":[],"query_metadata":{"completeness":"providers_unavailable"}}}`, `{}`, 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/mcp" {
					text, err := json.Marshal(c.inner)
					must(t, err)
					fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":%s}]}}`, text)
					return
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.rest)
			}))
			defer server.Close()
			api, err := cidxapi.New(t.Context(), cidxapi.Options{Base: server.URL, Key: "cidx_sk_0123456789"})
			must(t, err)
			a := Asker{API: api}
			r := Result{Alias: "x-global"}
			a.ask(t.Context(), &r, dir, []string{"findable"})
			if r.Accessible != c.accessible || r.Accessible == (r.Problem != nil) {
				t.Errorf("%+v %v", r, r.Problem)
			}
		})
	}
}

// TestARepositoryWithoutHitsIsMeasuredByWhatItWasBefore: a repository in which
// there is nothing to find has only to answer; one that has lost its hits fails.
func TestARepositoryWithoutHitsIsMeasuredByWhatItWasBefore(t *testing.T) {
	const (
		none  = `{"success":true,"results":{"results":[]}}`
		index = `{"success":false,"error":"full-text index not found"}`
		other = `{"success":true,"results":{"results":[{"file_path":"elsewhere.py"}]}}`
	)
	for name, c := range map[string]struct {
		known   Memory
		text    bool // the repository has a file with a word
		index   bool
		inner   string
		status  int // of the HTTP answer
		excused bool
	}{
		"no hits, as before":                            {Memory{"x-global": nothing}, true, true, none, 200, true},
		"no hits, but hits before":                      {Memory{"x-global": Found}, true, true, none, 200, false},
		"no hits and no index, but hits before":         {Memory{"x-global": Found}, false, false, none, 200, false},
		"an error, as before":                           {Memory{"x-global": refused}, true, true, index, 200, true},
		"an error, but only no hits before":             {Memory{"x-global": nothing}, true, true, index, 200, false},
		"no hits, an error before":                      {Memory{"x-global": refused}, true, true, none, 200, true},
		"hits of other files, no hits before":           {Memory{"x-global": nothing}, true, true, other, 200, false},
		"no answer, no hits before":                     {Memory{"x-global": nothing}, true, true, "", 502, false},
		"no answer, none before":                        {Memory{"x-global": silent}, true, true, "", 502, false},
		"never asked: an empty repository":              {nil, false, true, none, 200, true},
		"never asked: an empty one without an index":    {nil, false, false, none, 200, true},
		"never asked: one that CIDX does not index":     {nil, true, false, none, 200, true},
		"never asked: no index, and the server says so": {nil, true, false, index, 200, true},
		"never asked: an index and a word":              {nil, true, true, none, 200, false},
		"never asked: an index that is broken":          {nil, false, true, index, 200, false},
		"asked, but added since: empty":                 {Memory{"y-global": Found}, false, true, none, 200, true},
		"asked, but added since: with a word":           {Memory{"y-global": nothing}, true, true, none, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var words []string
			if c.text {
				words = []string{"findable"}
			}
			if c.index {
				must(t, os.MkdirAll(filepath.Join(dir, ".code-indexer/tantivy_index"), 0o755))
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				if r.URL.Path == "/mcp" && c.status == 200 {
					text, err := json.Marshal(c.inner)
					must(t, err)
					fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":%s}]}}`, text)
					return
				}
				fmt.Fprint(w, `{}`)
			}))
			defer server.Close()
			api, err := cidxapi.New(t.Context(), cidxapi.Options{Base: server.URL, Key: "cidx_sk_0123456789"})
			must(t, err)
			a := Asker{API: api, Before: c.known}
			r := Result{Alias: "x-global"}
			a.ask(t.Context(), &r, dir, words)
			if r.Excused != c.excused || r.Excused != (r.Warning != "") || r.Excused == (r.Problem != nil) {
				t.Errorf("%+v, problem %v", r, r.Problem)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
