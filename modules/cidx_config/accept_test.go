package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
)

// clusterNode is a home that was migrated and whose node is online.
func clusterNode(t *testing.T) hometest.Home {
	h := ready(t)
	to(t, h, home.ToCluster)
	pgtest.Exec(t, h.DSN, "CREATE TABLE IF NOT EXISTS cluster_nodes (node_id text PRIMARY KEY, status text, last_heartbeat timestamptz)",
		"INSERT INTO cluster_nodes VALUES ('node-1', 'online', now() + interval '1 hour')",
		"CREATE TABLE IF NOT EXISTS activated_repos (username text, user_alias text)",
		"INSERT INTO activated_repos VALUES ('ann', 'web'), ('ann', 'never-there')")
	h.Write(t, ".cluster-migrate/report/report.json", "{}")
	h.Write(t, ".cluster-migrate/snapshot.20260102_030405/groups.db", "an older copy")
	h.Write(t, ".cluster-migrate/warm/0f1e2d3c4b5a6978/groups.db", "as it was loaded before the stop")
	h.Write(t, "config.json.pre-cluster.20260102_030405", "{}")
	h.Write(t, "config.json.pre-clustered", "somebody's own")
	h.Write(t, ".cluster-migrate/notes.txt", "an operator's")
	return h
}

func tryAccept(h hometest.Home, check bool, reached func(string)) (ansible.Reply, error) {
	return call(h, accepted, ansible.Mode{Check: check}, reached)
}

// without is the home without what an acceptance writes.
func without(t *testing.T, h hometest.Home) map[string]string {
	all := hometest.Snapshot(t, h.Dir)
	maps.DeleteFunc(all, func(path, _ string) bool {
		return path == h.Path(".cluster-migrate/journal.jsonl") || path == h.Path(".cluster-migrate/accepted.json")
	})
	return all
}

func TestAcceptedRemovesWhatARollbackNeedsAndNothingElse(t *testing.T) {
	h := clusterNode(t)
	before, share := hometest.Snapshot(t, h.Dir), hometest.Snapshot(t, h.Share)
	reply, err := tryAccept(h, true, nil)
	if err != nil || !reply.Changed || reply.Data["bytes"].(int64) == 0 {
		t.Fatalf("check mode: %+v, %v", reply, err)
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
		t.Fatalf("check mode changes something:\n%s", diff)
	}
	pgtest.Exec(t, h.DSN, "INSERT INTO cluster_nodes VALUES ('node-2', 'online', now())") // which may well be
	if reply, err = tryAccept(h, false, nil); err != nil || !reply.Changed {
		t.Fatalf("%+v, %v", reply, err)
	}
	pgtest.Exec(t, h.DSN, "DELETE FROM cluster_nodes WHERE node_id = 'node-2'")
	if !slices.ContainsFunc(reply.Warnings, func(w string) bool { return strings.Contains(w, "only 0 min ago") }) {
		t.Errorf("no warning of an early acceptance: %q", reply.Warnings)
	}
	now := without(t, h)
	for path := range before {
		rel, _ := filepath.Rel(h.Dir, path)
		goes := strings.Contains(rel, ".pre-cluster/") || strings.HasSuffix(rel, ".pre-cluster") || strings.HasPrefix(rel, "config.json.pre-cluster.")
		if rest, ok := strings.CutPrefix(rel, ".cluster-migrate/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			goes = !slices.Contains([]string{"journal.jsonl", "report", "notes.txt"}, first)
		}
		if _, there := now[path]; there == goes && !strings.HasSuffix(path, "journal.jsonl") {
			t.Errorf("%s: still there %t", rel, there)
		}
	}
	if diff := cmp.Diff(share, hometest.Snapshot(t, h.Share)); diff != "" {
		t.Errorf("the share has changed:\n%s", diff)
	}
	isFinal(t, h)
}

// isFinal: accepted for good, and said so by every module that is asked.
func isFinal(t *testing.T, h hometest.Home) {
	t.Helper()
	var record home.Acceptance
	raw, err := os.ReadFile(h.Path(".cluster-migrate/accepted.json"))
	must(t, err)
	must(t, json.Unmarshal(raw, &record))
	if record.By == "" || record.Source != "of-this-home" || record.Tables["users"] != (home.LoadedTable{Rows: 2, Digest: "d1"}) || len(record.Removed) == 0 || time.Since(record.Time) > time.Hour {
		t.Errorf("the record: %s", raw)
	}
	before := hometest.Snapshot(t, h.Dir, h.Share)
	for _, check := range []bool{true, false} {
		if _, err := call(h, home.ToStandalone, ansible.Mode{Check: check}, nil); err == nil || !strings.Contains(err.Error(), "accepted at") || !strings.Contains(err.Error(), record.By) {
			t.Errorf("a rollback: %v", err)
		}
		if reply, err := call(h, home.ToCluster, ansible.Mode{Check: check}, nil); err != nil || reply.Changed {
			t.Errorf("a migration: changed %t, %v", reply.Changed, err)
		}
		if reply, err := tryAccept(h, check, nil); err != nil || reply.Changed {
			t.Errorf("once more: changed %t, %v", reply.Changed, err)
		}
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir, h.Share)); diff != "" {
		t.Error(diff)
	}
	if standing, err := (home.Common{Home: h.Dir}).Standing(); err != nil || !standing.Migrated() || standing.Final(h.Dir) == "" {
		t.Errorf("standing: %+v, %v", standing, err)
	}
}

// acceptKilled accepts and dies before the n-th kind of change; it answers false
// when there is no n-th. Of what lies in one folder the first counts.
func acceptKilled(t *testing.T, h hometest.Home, n int) (at string, died bool) {
	t.Helper()
	defer func() {
		if k, ok := recover().(killed); ok {
			at, died = k.at, true
		}
	}()
	kinds := map[string]bool{}
	_, err := tryAccept(h, false, func(what string) {
		kind := what
		if dir := filepath.Dir(what); strings.HasSuffix(dir, ".pre-cluster") || strings.Contains(dir, ".cluster-migrate/") {
			kind = dir
		}
		if !kinds[kind] && len(kinds) == n {
			panic(killed{what})
		}
		kinds[kind] = true
	})
	must(t, err)
	return "", false
}

func TestAnAcceptanceKilledAnywhereGoesOn(t *testing.T) {
	for n, more := 0, true; more; n++ {
		h := clusterNode(t)
		before := hometest.Snapshot(t, h.Dir)
		at, died := acceptKilled(t, h, n)
		_, back := call(h, home.ToStandalone, ansible.Mode{Check: true}, nil)
		switch {
		case at == "write the record":
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" || back != nil {
				t.Errorf("before the decision: a rollback: %v; changed:\n%s", back, diff)
			}
		case back == nil || !strings.Contains(back.Error(), "accepted at"):
			t.Errorf("killed before %q: a rollback: %v", at, back)
		}
		if reply, err := tryAccept(h, false, nil); err != nil || reply.Changed != died {
			t.Errorf("killed before %q: changed %t, %v", at, reply.Changed, err)
		}
		for _, gone := range []string{"data/golden-repos.pre-cluster", "data/activated-repos.pre-cluster", "config.json.pre-cluster", ".cluster-migrate/snapshot", ".cluster-migrate/files"} {
			if _, err := os.Lstat(h.Path(gone)); err == nil {
				t.Errorf("killed before %q: %s is left", at, gone)
			}
		}
		if more = died; !died {
			if n < 10 {
				t.Errorf("only %d moments to be killed at", n)
			}
			isFinal(t, h)
		}
	}
}

func TestAnAcceptanceIsRefusedBeforeAnythingIsRemoved(t *testing.T) {
	cases := map[string]struct {
		spoil func(t *testing.T, h hometest.Home)
		what  string
	}{
		"not in cluster mode": {func(t *testing.T, h hometest.Home) {
			h.Write(t, "config.json", fmt.Sprintf(hometest.Standalone, h.Dir))
			h.Write(t, ".cluster-migrate/config.json.cluster", fmt.Sprintf(hometest.Cluster, h.Dir, h.DSN, h.Share))
		}, "not in cluster mode"},
		"rolled back": {func(t *testing.T, h hometest.Home) { to(t, h, home.ToStandalone) }, "was not migrated"},
		"a rollback was begun": {func(t *testing.T, h hometest.Home) {
			note(t, h, home.ConfigModule, home.ConfigBegun, map[string]any{"state": home.ToStandalone})
		}, "rollback was interrupted"},
		"a migration under way": {func(t *testing.T, h hometest.Home) { h.Write(t, ".cluster-migrate/hold", "") }, "has not come to its end"},
		"the record is gone":    {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(h.Path(".cluster-migrate"))) }, "no record of a migration"},
		"never loaded":          {func(t *testing.T, h hometest.Home) { pgtest.Exec(t, h.DSN, "DELETE FROM "+cidx.LoadMarker) }, "does not hold what this migration has loaded"},
		"another load": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "UPDATE "+cidx.LoadMarker+" SET source_id = 'of-another'")
		}, "does not hold what this migration has loaded"},
		"given up": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "UPDATE "+cidx.LoadMarker+" SET rolled_back_at = now()")
		}, "given up by a rollback"},
		"another machine's home": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "UPDATE "+cidx.LoadMarker+" SET host = 'elsewhere'")
		}, "another server"},
		"the node is silent": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "UPDATE cluster_nodes SET last_heartbeat = now() - interval '1 minute' WHERE node_id = 'node-1'")
		}, "not online"},
		"the node is stopped": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "UPDATE cluster_nodes SET status = 'offline' WHERE node_id = 'node-1'")
		}, "not online"},
		"a repository is not on the share": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(filepath.Join(h.Share, "golden-repos/billing")))
		}, "repository billing: no such folder"},
		"a repository is empty there": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(filepath.Join(h.Share, "golden-repos/web")))
			must(t, os.Mkdir(filepath.Join(h.Share, "golden-repos/web"), 0o700))
		}, "golden-repos/web: the base clone of this repository is empty"},
		"only a snapshot is left of a repository": {func(t *testing.T, h hometest.Home) {
			web := filepath.Join(h.Share, "golden-repos/web")
			must(t, os.MkdirAll(filepath.Join(h.Share, "golden-repos/.versioned/web/v_1"), 0o700))
			must(t, os.RemoveAll(web))
			raw := fmt.Sprintf("{\"target_path\": %q}", filepath.Join(h.Share, "golden-repos/.versioned/web/v_1"))
			must(t, os.WriteFile(filepath.Join(h.Share, "golden-repos/aliases/web-global.json"), []byte(raw), 0o600))
		}, "golden-repos/web: the base clone of this repository is not on the share"},
		"a tree is not there": {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(filepath.Join(h.Share, "activated-repos"))) }, "activated-repos"},
		"the work of a user is not there": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(filepath.Join(h.Share, "activated-repos/ann")))
		}, "activated-repos/ann/web: the activated repository is not on the share"},
		"a folder in place of a link": {func(t *testing.T, h hometest.Home) {
			must(t, os.Remove(h.Path("data/activated-repos")))
			must(t, os.Mkdir(h.Path("data/activated-repos"), 0o700))
		}, "data/activated-repos"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := clusterNode(t)
			c.spoil(t, h)
			before := hometest.Snapshot(t, h.Dir)
			for _, check := range []bool{true, false} {
				_, err := tryAccept(h, check, nil)
				if err == nil || !strings.Contains(err.Error(), c.what) {
					t.Errorf("got %v, want %q", err, c.what)
				}
				for _, p := range problem.Of(err) {
					if p.Fix == "" {
						t.Errorf("no way on: %+v", p)
					}
				}
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func note(t *testing.T, h hometest.Home, module, event string, data map[string]any) {
	t.Helper()
	must(t, journal.Append(h.Path(".cluster-migrate/journal.jsonl"), module, event, data))
}

// Who controls the service user's folders may have put links there.
func TestAnAcceptanceFollowsNoLink(t *testing.T) {
	h := clusterNode(t)
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.MkdirAll(outside+"/deep", 0o700))
	must(t, os.WriteFile(outside+"/deep/victim", []byte("mine"), 0o600))
	must(t, os.RemoveAll(h.Path(".cluster-migrate/snapshot")))
	for _, link := range []string{"data/golden-repos.pre-cluster/to-outside", ".cluster-migrate/snapshot", "data/activated-repos.pre-cluster/ann/web/link"} {
		must(t, os.Symlink(outside, h.Path(link)))
	}
	before := hometest.Snapshot(t, outside, h.Share)
	if _, err := tryAccept(h, false, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, outside, h.Share)); diff != "" {
		t.Error(diff)
	}
}

func TestAMountInWhatIsToBeRemovedIsNotEmptied(t *testing.T) {
	h := clusterNode(t)
	at := h.Path("data/golden-repos.pre-cluster/billing/mounted")
	must(t, os.Mkdir(at, 0o700))
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, ""); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(at, 0)) })
	must(t, os.WriteFile(filepath.Join(at, "precious"), nil, 0o600))
	before := hometest.Snapshot(t, h.Dir)
	if _, err := tryAccept(h, false, nil); err == nil || !strings.Contains(err.Error(), "a mount (tmpfs") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

// Somebody has removed everything by hand: config.json.pre-cluster as well, of
// which a rollback could make another one from what cluster-join.sh has kept.
func TestWithoutAnyRecordNoRollbackBegins(t *testing.T) {
	for name, later := range map[string]func(t *testing.T, h hometest.Home){
		"at once":                      func(*testing.T, hometest.Home) {},
		"after a later report":         func(t *testing.T, h hometest.Home) { note(t, h, "cidx_report", "failed", nil) },
		"after a later verification":   func(t *testing.T, h hometest.Home) { note(t, h, "cidx_verify", "healthy", nil) },
		"after config.json was edited": func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("config.json.bak.20260102_030405"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := clusterNode(t)
			for _, gone := range []string{"data/golden-repos.pre-cluster", "data/activated-repos.pre-cluster", ".cluster-migrate", "config.json.pre-cluster"} {
				must(t, os.RemoveAll(h.Path(gone)))
			}
			later(t, h)
			before := hometest.Snapshot(t, h.Dir)
			for _, check := range []bool{true, false} {
				if _, err := call(h, home.ToStandalone, ansible.Mode{Check: check}, nil); err == nil || !strings.Contains(err.Error(), "cannot be rolled back") {
					t.Errorf("got %v", err)
				}
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
