package verify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/cidxapi"
	"cidx-cluster/modules/internal/journal"
)

// TestARepositoryWithoutHitsIsMeasuredByWhatItWasBefore: a repository in which
// there is nothing to find has only to answer; one that has lost its hits fails.
func TestARepositoryWithoutHitsIsMeasuredByWhatItWasBefore(t *testing.T) {
	const (
		none  = `{"success":true,"results":{"results":[]}}`
		index = `{"success":false,"error":"full-text index not found"}`
		other = `{"success":true,"results":{"results":[{"file_path":"elsewhere.py"}]}}`
	)
	for name, c := range map[string]struct {
		known   memory
		text    bool // the repository has a file with a word
		index   bool
		inner   string
		status  int // of the HTTP answer
		excused bool
	}{
		"no hits, as before":                            {memory{"x-global": nothing}, true, true, none, 200, true},
		"no hits, but hits before":                      {memory{"x-global": found}, true, true, none, 200, false},
		"no hits and no index, but hits before":         {memory{"x-global": found}, false, false, none, 200, false},
		"an error, as before":                           {memory{"x-global": refused}, true, true, index, 200, true},
		"an error, but only no hits before":             {memory{"x-global": nothing}, true, true, index, 200, false},
		"no hits, an error before":                      {memory{"x-global": refused}, true, true, none, 200, true},
		"hits of other files, no hits before":           {memory{"x-global": nothing}, true, true, other, 200, false},
		"no answer, no hits before":                     {memory{"x-global": nothing}, true, true, "", 502, false},
		"no answer, none before":                        {memory{"x-global": silent}, true, true, "", 502, false},
		"never asked: an empty repository":              {nil, false, true, none, 200, true},
		"never asked: an empty one without an index":    {nil, false, false, none, 200, true},
		"never asked: one that CIDX does not index":     {nil, true, false, none, 200, true},
		"never asked: no index, and the server says so": {nil, true, false, index, 200, true},
		"never asked: an index and a word":              {nil, true, true, none, 200, false},
		"never asked: an index that is broken":          {nil, false, true, index, 200, false},
		"asked, but added since: empty":                 {memory{"y-global": found}, false, true, none, 200, true},
		"asked, but added since: with a word":           {memory{"y-global": nothing}, true, true, none, 200, false},
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
			v := &verification{api: api, known: c.known}
			r := result{Alias: "x-global"}
			v.ask(t.Context(), &r, dir, words)
			if r.excused != c.excused || r.excused != (r.warning != "") || r.excused == (r.problem != nil) {
				t.Errorf("%+v, problem %v", r, r.problem)
			}
		})
	}
}

// TestTheStandaloneServerIsAskedBeforeAndMeasuredAfter goes through the journal.
func TestTheStandaloneServerIsAskedBeforeAndMeasuredAfter(t *testing.T) {
	dir, k := seeded(t)
	empty := k.Repos[0]
	for _, r := range append(globs(t, filepath.Join(dir, "data/golden-repos/.versioned", empty.Alias, "*")), filepath.Join(dir, "data/golden-repos", empty.Alias)) {
		must(t, os.RemoveAll(filepath.Join(r, ".code-indexer/tantivy_index")))
		must(t, os.RemoveAll(filepath.Join(r, ".code-indexer/index")))
	}
	address := serve(t, dir)
	arguments := func(mode string, check bool) map[string]any {
		return map[string]any{"home": dir, "mode": mode, "url": address, "api_key": k.Admin.Key, "_ansible_check_mode": check}
	}
	book := filepath.Join(dir, ".cluster-migrate/journal.jsonl")
	if reply := call(t, arguments("remember", true)); !reply.Get("skipped").Bool() || exists(book) {
		t.Errorf("a check mode: %s", reply.Raw)
	}
	want(t, call(t, arguments("standalone", false)), false, "4/4 accessible", "it has no index") // never asked
	reply := call(t, arguments("remember", false))
	want(t, reply, false, "finds something in 3 of 4 repositories", empty.Global+": the search finds nothing")
	entries, err := journal.Read(book)
	must(t, err)
	if m := recall(entries); len(m) != 4 || m[empty.Global] == found || m[k.Repos[1].Global] != found {
		t.Errorf("remembers %v", m)
	}
	want(t, call(t, arguments("standalone", false)), false, "4/4 accessible", "nor did the standalone server find anything in it")
	away := arguments("remember", false)
	away["url"] = "http://127.0.0.1:1"
	if reply := call(t, away); !reply.Get("skipped").Bool() || !strings.Contains(reply.Get("msg").Str, "does not answer") {
		t.Errorf("a server that is away: %s", reply.Raw)
	}
	wrong := arguments("remember", false)
	wrong["api_key"] = "cidx_sk_wrong"
	want(t, call(t, wrong), false, "could not be asked")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func globs(t *testing.T, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	must(t, err)
	return list
}
