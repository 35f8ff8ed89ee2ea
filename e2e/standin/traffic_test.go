package standin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/e2e/standin/internal/schema"
)

// tree maps the files below a directory to their content's hash.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		out[rel] = fmt.Sprintf("%x", sha256.Sum256(raw))
		return err
	}))
	return out
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAStandaloneServerKeepsWriting(t *testing.T) {
	f := standalone(t)
	before := tree(t, f.golden(""))
	r := f.start(func(o *Options) { o.WriteInterval = time.Millisecond })
	count := func(table string) int64 {
		row, err := r.store.Row1(t.Context(), table, "SELECT count(*) AS n FROM "+table)
		must(t, err)
		return row.Int("n")
	}
	eventually(t, "100 ticks", func() bool { return count("audit_logs") >= 100 })
	for _, table := range []string{"background_jobs", "search_event_log", "logs"} {
		if n := count(table); n < 90 {
			t.Errorf("%s: %d rows", table, n)
		}
	}
	r.stop()
	after := tree(t, f.golden(""))
	changed := 0
	for path, hash := range before {
		if after[path] != hash {
			t.Errorf("%s was changed", path)
		}
	}
	for path := range after {
		if before[path] != "" || strings.HasPrefix(path, "cidx-meta") || strings.HasPrefix(path, "aliases/cidx-meta") {
			continue
		}
		if !strings.HasSuffix(path, ".git/FETCH_HEAD") && !strings.Contains(path, "/index/live_updates/vector_live_") {
			t.Errorf("%s is new", path)
		}
		if _, first := strings.CutSuffix(path, "live_000000.json"); first {
			t.Errorf("%s should have been removed by now", path)
		}
		changed++
	}
	if changed < 2*len(fixtureRepos) {
		t.Errorf("only %d new files", changed)
	}
}

func TestAQuietServerWritesNothing(t *testing.T) {
	f := standalone(t)
	r := f.start(func(o *Options) { o.WriteInterval, o.Quiet = time.Millisecond, true })
	r.traffic(context.Background()) // returns at once
	r.stop()
	f.inSQLite(func(s *schema.Store) {
		row, err := s.Row1(t.Context(), "audit_logs", "SELECT count(*) AS n FROM audit_logs")
		must(t, err)
		if row.Int("n") != 0 {
			t.Errorf("%d audit rows", row.Int("n"))
		}
	})
}

func TestRefreshSwapsTheAliasAndSoonDropsThePreviousSnapshot(t *testing.T) {
	f := standalone(t)
	f.write(f.golden("billing/src/new.py"), "freshword\n")
	r := f.start()
	if n := r.found(opsKey, "billing", "freshword"); n != 0 {
		t.Fatalf("found before the refresh: %d", n)
	}
	for range 4 {
		status, out := r.call("POST", "/api/admin/golden-repos/billing/refresh", opsKey, nil)
		if status != 202 {
			t.Fatalf("refresh: %d %v", status, out)
		}
	}
	if n := r.found(opsKey, "billing", "freshword"); n != 1 {
		t.Errorf("found after the refresh: %d", n)
	}
	eventually(t, "the previous snapshots are gone", func() bool {
		entries, err := os.ReadDir(f.golden(".versioned/billing"))
		must(t, err)
		return len(entries) == 1
	})
	raw, err := os.ReadFile(f.golden("aliases/billing-global.json"))
	must(t, err)
	doc := gjson.ParseBytes(raw)
	var keys []string
	doc.ForEach(func(k, _ gjson.Result) bool { keys = append(keys, k.String()); return true })
	if got := names(keys...); got != "target_path repo_name note last_refresh previous_path swapped_at" {
		t.Errorf("keys: %s", got)
	}
	if !strings.Contains(string(raw), `gr\u00fcn`) || strings.HasSuffix(string(raw), "\n") || !strings.HasPrefix(string(raw), "{\n  \"target_path\"") {
		t.Errorf("form: %s", raw)
	}
	if info, err := os.Stat(doc.Get("target_path").String()); err != nil || !info.IsDir() {
		t.Errorf("target_path: %v", err)
	}
	if path := doc.Get("previous_path").String(); filepath.Dir(path) != f.golden(".versioned/billing") {
		t.Errorf("previous_path: %s", path)
	} else if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("previous_path names a folder that exists: %v", err)
	}
	if info, _ := os.Stat(f.golden("aliases/billing-global.json")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v", info.Mode())
	}
}

func TestTheFirstRefreshKeepsTheClone(t *testing.T) {
	f := standalone(t)
	f.alias("billing", f.golden("billing"))
	r := f.start()
	if status, out := r.call("POST", "/api/admin/golden-repos/billing/refresh", opsKey, nil); status != 202 {
		t.Fatalf("refresh: %d %v", status, out)
	}
	time.Sleep(2 * swapPause)
	if _, err := os.Stat(f.golden("billing/.git")); err != nil {
		t.Error("the clone is gone, which was the previous target")
	}
}

func TestARefreshingServerSwapsOneAliasAfterTheOther(t *testing.T) {
	f := standalone(t)
	f.start(func(o *Options) { o.WriteInterval, o.Refresh = time.Millisecond, true })
	for _, alias := range fixtureRepos {
		eventually(t, alias+" is refreshed", func() bool {
			raw, err := os.ReadFile(f.golden("aliases/" + alias + "-global.json"))
			return err == nil && gjson.GetBytes(raw, "previous_path").Exists() && gjson.GetBytes(raw, "target_path").String() != f.golden(".versioned/"+alias+"/v_1700000000")
		})
	}
}
