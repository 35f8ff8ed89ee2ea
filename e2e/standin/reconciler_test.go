package standin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/standin/internal/schema"
)

// vanish removes clone and snapshots of repositories.
func (f *fixture) vanish(aliases ...string) {
	f.t.Helper()
	for _, alias := range aliases {
		must(f.t, os.RemoveAll(f.golden(alias)))
		must(f.t, os.RemoveAll(f.golden(".versioned/"+alias)))
	}
}

// registry names the repositories that still have rows, cidx-meta left out.
func (f *fixture) registry() string {
	f.t.Helper()
	var out []string
	f.inSQLite(func(s *schema.Store) {
		rows, err := s.Rows(f.t.Context(), "golden_repos_metadata", "SELECT alias FROM golden_repos_metadata WHERE alias <> 'cidx-meta' ORDER BY alias")
		must(f.t, err)
		for _, r := range rows {
			out = append(out, r.Text("alias"))
		}
	})
	return names(out...)
}

const allRepos = "billing portal tools wiki"

func TestUpToHalfIsRemovedAtTheFirstStartWithEverythingThatHangsOnIt(t *testing.T) {
	f := standalone(t)
	f.vanish("billing", "portal")
	r := f.start()
	if got := r.healthz(); got != "200 healthy" {
		t.Errorf("health: %s", got)
	}
	if got := names(r.listed(opsKey)...); strings.Contains(got, "billing") || strings.Contains(got, "portal") {
		t.Errorf("still listed: %s", got)
	}
	r.stop()
	if got := f.registry(); got != "tools wiki" {
		t.Errorf("registry: %s", got)
	}
	for _, path := range []string{f.golden("aliases/billing-global.json"), f.path("data/activated-repos/dev/mine")} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s survived", path)
		}
	}
}

func TestMoreThanHalfOpensTheBreakerAndRemovesNothing(t *testing.T) {
	f := standalone(t)
	f.vanish("billing", "portal", "tools")
	for range 3 { // three starts within 30 minutes count as one
		r := f.start()
		if got := r.healthz(); got != "200 degraded" {
			t.Errorf("health: %s", got)
		}
		r.stop()
	}
	if got := f.registry(); got != allRepos {
		t.Errorf("registry: %s", got)
	}
}

func TestTheSameSetIsRemovedAtTheThirdStart(t *testing.T) {
	f := standalone(t)
	f.vanish("billing", "portal", "tools")
	for n, want := range []string{allRepos, allRepos, "wiki"} {
		f.start().stop()
		f.inSQLite(func(s *schema.Store) {
			_, err := s.Exec(t.Context(), breakerTable, "UPDATE "+breakerTable+" SET last_observed_at = ?", stamp(time.Now().Add(-breakerPause)))
			must(t, err)
			if n < 2 { // cidx-meta would be the fifth row: with it gone the share stays above half
				must(t, os.RemoveAll(f.golden("cidx-meta")))
				_, err = s.Exec(t.Context(), "golden_repos_metadata", "DELETE FROM golden_repos_metadata WHERE alias = 'cidx-meta'")
				must(t, err)
			}
		})
		if got := f.registry(); got != want {
			t.Fatalf("after start %d: %s", n+1, got)
		}
	}
}

func TestASnapshotAloneKeepsARepository(t *testing.T) {
	f := standalone(t)
	must(t, os.RemoveAll(f.golden("billing")))
	r := f.start()
	status, out := r.call("GET", "/api/repos/golden/billing", opsKey, nil)
	if status != 200 || out["path"] != f.golden(".versioned/billing/v_1700000000") {
		t.Errorf("%d %v", status, out)
	}
}

func TestAnEmptyDirectoryCountsAsHealthyStorage(t *testing.T) {
	f := standalone(t)
	must(t, os.Rename(f.golden(""), f.path("data/golden-repos.pre-cluster")))
	f.write("golden-repos/billing-global.json", `{"target_path": "/stale"}`) // of an old release: must not count
	r := f.start()
	if got := r.healthz(); got != "200 degraded" {
		t.Errorf("health: %s", got)
	}
	r.stop()
	if got := f.registry(); got != allRepos {
		t.Errorf("registry: %s", got)
	}
}

func TestADanglingLinkStartsDegradedAndDeletesNothing(t *testing.T) {
	f := standalone(t)
	must(t, os.RemoveAll(f.golden("")))
	must(t, os.Symlink(f.path("away"), f.golden("")))
	r := f.start()
	if got := r.healthz(); got != "200 degraded" {
		t.Errorf("health: %s", got)
	}
	if n := r.found(opsKey, "billing", "billingword"); n != -1 {
		t.Errorf("search: %d", n)
	}
	r.stop()
	if got := f.registry(); got != allRepos {
		t.Errorf("registry: %s", got)
	}
}

func TestLinkAndSpelling(t *testing.T) {
	for name, c := range map[string]struct {
		link, mountSpelling bool
		hits                int
	}{
		"with the link, rows in mount spelling are found":      {true, true, 1},
		"with the link, rows in local spelling are found":      {true, false, 1},
		"without the link, rows in mount spelling are refused": {false, true, -1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			share := filepath.Join(t.TempDir(), "golden-repos")
			must(t, os.Rename(f.golden(""), share))
			if c.link {
				must(t, os.Symlink(share, f.golden("")))
			} else {
				must(t, os.Mkdir(f.golden(""), 0o755))
				must(t, os.Mkdir(f.golden("aliases"), 0o755))
			}
			root := f.golden("")
			if c.mountSpelling {
				root = share
			}
			for _, alias := range fixtureRepos { // aliases are always readable: the registry decides
				text := `{"target_path": "` + filepath.Join(share, alias) + `"}`
				f.write(f.golden("aliases/"+alias+"-global.json"), text)
			}
			f.inSQLite(func(s *schema.Store) { f.load(s, root) })
			r := f.start()
			for _, alias := range fixtureRepos {
				if n := r.found(opsKey, alias, alias+"word"); n != c.hits {
					t.Errorf("%s: %d hits", alias, n)
				}
			}
			r.stop()
			if got := f.registry(); got != allRepos {
				t.Errorf("registry: %s", got)
			}
		})
	}
}

func TestASiblingWithTheSamePrefixIsOutside(t *testing.T) {
	f := newFixture(t)
	must(t, os.Rename(f.golden("billing"), f.path("data/golden-repos-old")))
	if _, err := f.detect().Resolve("billing", f.path("data/golden-repos-old")); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Fatalf("got %v", err)
	}
}
