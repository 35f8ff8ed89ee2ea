package config

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
)

// lateWrites are what somebody may write between the backup and the cut-over.
var lateWrites = map[string]struct {
	write func(t *testing.T, h hometest.Home)
	what  string
}{
	"a row in a database with a hot -wal": {func(t *testing.T, h hometest.Home) {
		h.HotSQL(t, "data/cidx_server.db", "INSERT INTO global_repos VALUES ('late', 'late', 'x')")
	}, "cidx_server.db-wal: changed since the backup in global_repos"},
	"a row in a database": {func(t *testing.T, h hometest.Home) { h.SQL(t, "groups.db", "INSERT INTO t DEFAULT VALUES") }, "groups.db: changed since the backup in t"},
	"a changed value":     {func(t *testing.T, h hometest.Home) { h.SQL(t, "oauth.db", "UPDATE t SET id = 7") }, "oauth.db: changed since the backup in t"},
	"a database that was not there": {func(t *testing.T, h hometest.Home) {
		h.SQL(t, "elevated_sessions.db", "CREATE TABLE t (x)")
	}, "elevated_sessions.db: new since the backup"},
	"a database that is gone": {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("scip_audit.db"))) }, "scip_audit.db: missing since the backup"},
	"a hot journal":           {func(t *testing.T, h hometest.Home) { h.Write(t, "groups.db-journal", "of a writer that was killed") }, "groups.db-journal: new since the backup"},
	"a replaced key":          {func(t *testing.T, h hometest.Home) { h.Write(t, "data/mfa_key.dat", "mfa-Other-Key!\n") }, "mfa_key.dat: changed since the backup"},
	"another salt":            {func(t *testing.T, h hometest.Home) { h.Write(t, ".encryption_key_salt", "node2.example.org") }, ".encryption_key_salt: changed since the backup"},
	"config.json":             {func(t *testing.T, h hometest.Home) { edit(t, h, "threadpool_size\": 40", "threadpool_size\": 41") }, "config.json: changed since the backup"},
}

// local is where an alias file lies, before and after the links are made.
func local(h hometest.Home, name string) string {
	if _, err := os.Lstat(h.Path("data/golden-repos.pre-cluster")); err == nil {
		return h.Path("data/golden-repos.pre-cluster/aliases", name)
	}
	return h.Path("data/golden-repos/aliases", name)
}

func init() {
	alias := func(name, content string) func(t *testing.T, h hometest.Home) {
		return func(t *testing.T, h hometest.Home) { must(t, os.WriteFile(local(h, name), []byte(content), 0o600)) }
	}
	lateWrites["a changed alias file"] = struct {
		write func(t *testing.T, h hometest.Home)
		what  string
	}{alias("web-global.json", `{"target_path": "/elsewhere"}`), "web-global.json: changed since the backup"}
	lateWrites["a new alias file"] = struct {
		write func(t *testing.T, h hometest.Home)
		what  string
	}{alias("late-global.json", `{"target_path": "/elsewhere"}`), "late-global.json: new since the backup"}
	// As git does it: a file beside, then a rename. The writer may stand inside the
	// folder since before it was set aside.
	lateWrites["a commit"] = struct {
		write func(t *testing.T, h hometest.Home)
		what  string
	}{func(t *testing.T, h hometest.Home) {
		git := filepath.Join(filepath.Dir(local(h, "")), "billing/.git")
		must(t, os.WriteFile(git+"/HEAD.lock", []byte("ref: refs/heads/late\n"), 0o600))
		must(t, os.Rename(git+"/HEAD.lock", git+"/HEAD"))
	}, "data/golden-repos/billing/.git/HEAD: changed since the copy"}
	lateWrites["a file written in place"] = struct {
		write func(t *testing.T, h hometest.Home)
		what  string
	}{func(t *testing.T, h hometest.Home) {
		must(t, os.WriteFile(filepath.Join(filepath.Dir(local(h, "")), "billing/.git/HEAD"), []byte("ref: refs/heads/late\n"), 0o600))
	}, "data/golden-repos/billing/.git/HEAD: changed since the copy"}
}

func TestALateWriterStopsTheCutOverAtEveryMoment(t *testing.T) {
	for name, late := range lateWrites {
		for _, when := range []string{"before", "rename", "link data/activated", "write the journal", "after"} {
			inTree := strings.Contains(late.what, "since the copy")
			kind := strings.Contains(late.what, "-wal:") || strings.Contains(late.what, "mfa_key") || strings.Contains(late.what, "late-global") || inTree
			if when != "before" && !kind {
				continue // one file of each kind is enough there
			}
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				h := ready(t)
				before := homeNow(t, h)
				written := false
				write := func() {
					if !written {
						written = true
						late.write(t, h)
					}
				}
				var err error
				switch when {
				case "before":
					write()
					_, err = call(h, home.ToCluster, ansible.Mode{}, nil)
				case "after":
					to(t, h, home.ToCluster)
					write()
					_, err = call(h, proven, ansible.Mode{}, nil)
				default:
					_, err = call(h, home.ToCluster, ansible.Mode{}, func(what string) {
						if strings.HasPrefix(what, when) || strings.HasPrefix(when, "link") && strings.Contains(what, "activated") {
							write()
						}
					})
				}
				if inTree && when != "after" || when == "write the journal" { // it is found before the start
					must(t, err)
					_, err = call(h, proven, ansible.Mode{}, nil)
				}
				if err == nil || !strings.Contains(err.Error(), late.what) {
					t.Errorf("got %v, want %q", err, late.what)
				}
				for _, p := range problem.Of(err) {
					if p.Fix != "run cluster-migrate.yml again: it takes it along" {
						t.Errorf("no way on: %+v", p)
					}
				}
				if linked(h) {
					t.Error("the links are in place")
				}
				standing, err := home.Common{Home: h.Dir}.Standing()
				must(t, err)
				if standing.Migrated() || standing.Begun != "" || standing.Used {
					t.Errorf("standing %+v", standing)
				}
				// Nothing of what was written is lost, nothing else has changed.
				now := homeNow(t, h)
				if cmp.Equal(before, now) {
					t.Error("what was written is gone")
				}
				// The next run begins with a new backup and a new load.
				if !strings.Contains(late.what, "late-global") && !strings.Contains(late.what, "web-global") {
					h.Remember(t)
					to(t, h, home.ToCluster)
					if !linked(h) {
						t.Error("the next run does not cut over")
					}
				}
			})
		}
	}
}

// A reader changes nothing: SQLite leaves an empty -wal and a -shm behind.
func TestAReaderIsNoLateWriter(t *testing.T) {
	h := ready(t)
	h.Write(t, "groups.db-wal", "")
	h.Write(t, "groups.db-shm", "an index of nothing")
	must(t, os.Chtimes(h.Path("oauth.db"), time.Now(), time.Now()))
	must(t, os.Chmod(h.Path("groups.db"), 0o640))
	if _, err := call(h, home.ToCluster, ansible.Mode{}, nil); err != nil {
		t.Error(err)
	}
}

// The load makes the salt file of a server that has none; that is no late write.
func TestTheSaltThatTheLoadMadeIsOurs(t *testing.T) {
	for name, noted := range map[string]string{"as noted": "node1", "another one": "node2"} {
		t.Run(name, func(t *testing.T) {
			h := ready(t)
			must(t, os.Remove(h.Path(".encryption_key_salt")))
			h.Stand(t)
			h.Write(t, ".encryption_key_salt", "node1")
			sum := fmt.Sprintf("%x", sha256.Sum256([]byte(noted)))
			must(t, journal.Append(h.Path(".cluster-migrate/journal.jsonl"), home.DatabaseModule, home.SaltMade, map[string]any{"sha256": sum}))
			_, err := call(h, home.ToCluster, ansible.Mode{}, nil)
			if (err == nil) != (noted == "node1") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A rollback that came between has given the load up, in the journal or in
// PostgreSQL; or the load went to another database.
func TestTheLoadMustStandAtTheCutOver(t *testing.T) {
	given := func(h hometest.Home, event string) error {
		return journal.Append(h.Path(".cluster-migrate/journal.jsonl"), home.DatabaseModule, event, nil)
	}
	cases := map[string]struct {
		spoil func(t *testing.T, h hometest.Home)
		what  string
	}{
		"given up in the journal": {func(t *testing.T, h hometest.Home) { must(t, given(h, home.DatabaseRolledBack)) }, "given up"},
		"given up in PostgreSQL": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "UPDATE "+cidx.LoadMarker+" SET rolled_back_at = now()")
		}, "marked as given up"},
		"loaded elsewhere": {func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "DELETE FROM "+cidx.LoadMarker)
		}, "does not hold what this migration has loaded"},
		"never loaded": {func(t *testing.T, h hometest.Home) { pgtest.Exec(t, h.DSN, "DROP TABLE "+cidx.LoadMarker) }, "does not hold"},
		"no backup":    {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path(".cluster-migrate/backup.json"))) }, "no backup was taken"},
	}
	for name, c := range cases {
		for _, when := range []string{"before", "between", "before the start"} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				h := ready(t)
				var reached func(string)
				switch when {
				case "before":
					c.spoil(t, h)
				case "between":
					reached = func(what string) {
						if strings.Contains(what, "activated") {
							c.spoil(t, h)
						}
					}
				default:
					to(t, h, home.ToCluster)
					c.spoil(t, h)
				}
				state := home.ToCluster
				if when == "before the start" {
					state = proven
				}
				_, err := call(h, state, ansible.Mode{}, reached)
				if err == nil || !strings.Contains(err.Error(), c.what) {
					t.Errorf("got %v, want %q", err, c.what)
				}
				if linked(h) {
					t.Error("the links are in place")
				}
			})
		}
	}
}

// Once a server has worked on the cluster, what it wrote is no late write, and
// the cut-over is never taken back under it.
func TestAClusterThatHasRunIsLeftAlone(t *testing.T) {
	ran := map[string]func(t *testing.T, h hometest.Home){
		"started by us": func(t *testing.T, h hometest.Home) {
			must(t, journal.Append(h.Path(".cluster-migrate/journal.jsonl"), home.ServiceModule, home.ServiceStarting, nil))
		},
		"started by hand": func(t *testing.T, h hometest.Home) {
			pgtest.Exec(t, h.DSN, "CREATE TABLE cluster_nodes (node_id text, last_heartbeat timestamptz)", "INSERT INTO cluster_nodes VALUES ('node-1', now() + interval '1 s')")
		},
	}
	for name, start := range ran {
		t.Run(name, func(t *testing.T) {
			h := ready(t)
			to(t, h, home.ToCluster)
			start(t, h)
			h.SQL(t, "groups.db", "CREATE TABLE of_the_cluster (x)")
			if reply, err := call(h, proven, ansible.Mode{}, nil); err != nil || reply.Changed {
				t.Errorf("changed %v, %v", reply.Changed, err)
			}
			if !linked(h) {
				t.Error("taken back")
			}
		})
	}
}
