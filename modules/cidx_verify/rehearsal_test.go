package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/cidx_verify/search"
	"cidx-cluster/modules/internal/journal"
)

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
	if m := recall(entries); len(m) != 4 || m[empty.Global] == search.Found || m[k.Repos[1].Global] != search.Found {
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
