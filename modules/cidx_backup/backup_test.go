package backup

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/sqlite"
)

const dsn = "postgresql://cidx:dsn-Secret@127.0.0.1:1/cidx"

func call(h hometest.Home, state string, check bool, reached func(string)) (ansible.Reply, error) {
	k := &keeper{args: args{Common: home.Common{Home: h.Dir}, Wanted: state}, check: check, reached: reached}
	return k.run(context.Background())
}

func do(t *testing.T, h hometest.Home, state string) ansible.Reply {
	t.Helper()
	reply, err := call(h, state, false, nil)
	if err != nil {
		t.Fatalf("%s: %v", state, err)
	}
	return reply
}

// sources is the home without what a backup adds.
func sources(t *testing.T, h hometest.Home) map[string]string {
	all := hometest.Snapshot(t, h.Dir)
	maps.DeleteFunc(all, func(path, _ string) bool {
		return strings.Contains(path, ".cluster-migrate") || strings.HasSuffix(path, ".pre-cluster")
	})
	return all
}

// note writes what cidx_config would have written.
func note(t *testing.T, h hometest.Home, event, state, was string) {
	t.Helper()
	must(t, journal.Append(h.Path(".cluster-migrate/journal.jsonl"), home.ConfigModule, event, map[string]any{"state": state, "config_was": was}))
}

func cutOver(t *testing.T, h hometest.Home) {
	note(t, h, home.ConfigBegun, home.ToCluster, cidx.ModePostgres)
	note(t, h, home.ConfigDone, home.ToCluster, "")
}

func rollBack(t *testing.T, h hometest.Home, was string) {
	note(t, h, home.ConfigBegun, home.ToStandalone, was)
	note(t, h, home.ConfigDone, home.ToStandalone, "")
}

// clusterStart changes the files as a start in cluster mode does.
func clusterStart(t *testing.T, h hometest.Home) {
	h.HotSQL(t, "data/cidx_server.db", "CREATE TABLE _health_check (x)", "INSERT INTO _health_check VALUES (1)")
	h.Write(t, "data/cidx_server.db-shm", "an index of another log")
	h.Write(t, ".encryption_key_salt", "changed by the cluster")
	h.Write(t, "logs.db", "made by the cluster")
}

func TestTakenKeepsEverythingAndTouchesNothing(t *testing.T) {
	h := hometest.New(t, dsn)
	before := sources(t, h)
	reply := do(t, h, "taken")
	if !reply.Changed {
		t.Error("changed is false")
	}
	if diff := cmp.Diff(before, sources(t, h)); diff != "" {
		t.Errorf("the sources have changed:\n%s", diff)
	}
	state := h.Path(".cluster-migrate")
	for _, name := range []string{"data/cidx_server.db", "data/cidx_server.db-wal", "groups.db", "oauth.db", ".encryption_key_salt", ".jwt_secret", "data/mfa_key.dat"} {
		same(t, h.Path(name), filepath.Join(state, "snapshot", name))
	}
	same(t, h.Path("data/golden-repos/aliases/web-global.json"), filepath.Join(state, "aliases/data/golden-repos/aliases/web-global.json"))
	same(t, h.Path("config.json"), filepath.Join(state, "config.json.cluster"))
	// The copy is a database that holds the rows of the log.
	snapshot := filepath.Join(state, "snapshot/data/cidx_server.db")
	c, err := sqlite.OpenCopy(snapshot, snapshot)
	must(t, err)
	defer c.Close()
	rows, err := c.Query("SELECT count(*) FROM golden_repos_metadata")
	must(t, err)
	defer rows.Close()
	if !rows.Next() || rows.Int(0) != 3 {
		t.Error("the rows of the -wal are missing in the copy")
	}
	for _, path := range []string{state, filepath.Join(state, "snapshot"), filepath.Join(state, "snapshot/.jwt_secret"), filepath.Join(state, "backup.json"), filepath.Join(state, "config.json.cluster")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may read it: %v %v", path, info.Mode(), err)
		}
	}
	again := do(t, h, "taken")
	if again.Changed || again.Data["kept_since"] == "" {
		t.Errorf("a second time: %+v", again)
	}
}

func TestPreClusterIsTrulyStandalone(t *testing.T) {
	cases := map[string]struct {
		spoil func(t *testing.T, h hometest.Home)
		check func(t *testing.T, raw string, h hometest.Home)
	}{
		"from the newest standalone backup of cluster-join": {
			func(t *testing.T, h hometest.Home) {
				h.Write(t, "config.json.bak.20260203_000000", fmt.Sprintf(hometest.Cluster, h.Dir, dsn, h.Share)) // joined twice
				h.Write(t, "config.json.bak.20250101_000000", `{"storage_mode": "sqlite", "old": true}`)
			},
			func(t *testing.T, raw string, h hometest.Home) {
				if want := fmt.Sprintf(hometest.Standalone, h.Dir); raw != want {
					t.Errorf("got %s", raw)
				}
			},
		},
		"computed, all other keys and bytes kept": {
			func(t *testing.T, h hometest.Home) {
				must(t, os.Remove(h.Path("config.json.bak.20260102_030405")))
				h.Write(t, "config.json.bak.20260102_030406", "{broken")
				h.Write(t, "config.json", strings.Replace(fmt.Sprintf(hometest.Cluster, h.Dir, dsn, h.Share), `"clone_backend": "local"`, `"clone_backend": "ontap",`+"\n  \"unknown\": [1.0, \"\\u00e9\"]", 1))
			},
			func(t *testing.T, raw string, h hometest.Home) {
				want := strings.Replace(fmt.Sprintf(hometest.Standalone, h.Dir), "  \"cow_daemon\"", "  \"unknown\": [1.0, \"\\u00e9\"],\n  \"cow_daemon\"", 1)
				if diff := cmp.Diff(want, raw); diff != "" {
					t.Error(diff)
				}
			},
		},
		"a file without storage_mode is a standalone one": {
			func(t *testing.T, h hometest.Home) {
				h.Write(t, "config.json.bak.20260301_000000", `{"server_dir": "x"}`)
			},
			func(t *testing.T, raw string, _ hometest.Home) {
				if raw != `{"server_dir": "x"}` {
					t.Errorf("got %s", raw)
				}
			},
		},
		"one that names a database is not, whatever it says": {
			func(t *testing.T, h hometest.Home) {
				h.Write(t, "config.json.bak.20260301_000000", `{"storage_mode": "sqlite", "postgres_dsn": "postgresql://x"}`)
			},
			func(t *testing.T, raw string, h hometest.Home) {
				if raw != fmt.Sprintf(hometest.Standalone, h.Dir) {
					t.Errorf("got %s", raw)
				}
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := hometest.New(t, dsn)
			c.spoil(t, h)
			do(t, h, "taken")
			raw, err := os.ReadFile(h.Path("config.json.pre-cluster"))
			must(t, err)
			if mode := gjson.GetBytes(raw, "storage_mode"); mode.Exists() && mode.Str != "sqlite" {
				t.Errorf("storage_mode is %s", mode.Raw)
			}
			c.check(t, string(raw), h)
			a, _ := os.Stat(h.Path("config.json"))
			b, _ := os.Stat(h.Path("config.json.pre-cluster"))
			if a.Mode() != b.Mode() {
				t.Errorf("mode %v, config.json has %v", b.Mode(), a.Mode())
			}
			// Written once, also when config.json and its backups change.
			h.Write(t, "config.json.bak.20270101_000000", `{"storage_mode": "sqlite", "later": true}`)
			do(t, h, "taken")
			if now, _ := os.ReadFile(h.Path("config.json.pre-cluster")); string(now) != string(raw) {
				t.Errorf("overwritten with %s", now)
			}
		})
	}
}

func TestAClusterFileAsPreClusterIsRefused(t *testing.T) {
	h := hometest.New(t, dsn)
	h.Write(t, "config.json.pre-cluster", fmt.Sprintf(hometest.Cluster, h.Dir, dsn, h.Share))
	before := hometest.Snapshot(t, h.Dir)
	_, err := call(h, "taken", false, nil)
	if err == nil || !strings.Contains(err.Error(), "not a standalone configuration") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckModeChangesNothing(t *testing.T) {
	h := hometest.New(t, dsn)
	before := hometest.Snapshot(t, h.Dir)
	for _, state := range []string{"taken", "restored", "proven"} {
		reply, err := call(h, state, true, nil)
		must(t, err)
		if state == "taken" && (!reply.Changed || reply.Data["files"].(int) < 10) {
			t.Errorf("reply %+v", reply)
		}
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

func TestWhichSetIsKept(t *testing.T) {
	cases := map[string]struct {
		between func(t *testing.T, h hometest.Home)
		fresh   bool
	}{
		"nothing has happened":          {func(*testing.T, hometest.Home) {}, false},
		"the standalone server has run": {func(t *testing.T, h hometest.Home) { h.HotSQL(t, "data/cidx_server.db", "CREATE TABLE later (x)") }, true},
		"the cluster has been started":  {func(t *testing.T, h hometest.Home) { cutOver(t, h); clusterStart(t, h) }, false},
		"a cut-over was begun only":     {func(t *testing.T, h hometest.Home) { note(t, h, home.ConfigBegun, home.ToCluster, "") }, false},
		"rolled back and nothing more":  {func(t *testing.T, h hometest.Home) { cutOver(t, h); rollBack(t, h, "postgres") }, false},
		"rolled back and run standalone": {func(t *testing.T, h hometest.Home) {
			cutOver(t, h)
			rollBack(t, h, "postgres")
			h.SQL(t, "groups.db", "CREATE TABLE later (x)")
		}, true},
		"a copy was lost": {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path(".cluster-migrate/snapshot/oauth.db"))) }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := hometest.New(t, dsn)
			do(t, h, "taken")
			first, err := os.ReadFile(h.Path(".cluster-migrate/backup.json"))
			must(t, err)
			c.between(t, h)
			if reply := do(t, h, "taken"); reply.Changed != c.fresh {
				t.Errorf("changed is %v", reply.Changed)
			}
			aside, _ := filepath.Glob(h.Path(".cluster-migrate/backup.json.*"))
			if !c.fresh {
				if now, _ := os.ReadFile(h.Path(".cluster-migrate/backup.json")); string(now) != string(first) || len(aside) > 0 {
					t.Error("the first set was not kept")
				}
				return
			}
			if len(aside) != 1 {
				t.Fatalf("set aside: %q", aside)
			}
			if old, _ := os.ReadFile(aside[0]); string(old) != string(first) {
				t.Error("the first record was lost")
			}
			same(t, h.Path("groups.db"), h.Path(".cluster-migrate/snapshot/groups.db"))
		})
	}
}

func TestRestoredUndoesAClusterStart(t *testing.T) {
	h := hometest.New(t, dsn)
	before := sources(t, h)
	do(t, h, "taken")
	cutOver(t, h)
	clusterStart(t, h)
	touched := sources(t, h)
	rollBack(t, h, "postgres")
	if _, err := call(h, "proven", false, nil); err == nil {
		t.Error("proven does not see the difference")
	}
	reply := do(t, h, "restored")
	if !reply.Changed {
		t.Error("changed is false")
	}
	if diff := cmp.Diff(before, sources(t, h)); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
	aside := reply.Data["set_aside"].(string)
	for _, name := range []string{"data/cidx_server.db-wal", ".encryption_key_salt", "logs.db"} {
		if kept := hometest.Snapshot(t, filepath.Join(aside, name)); content(kept[filepath.Join(aside, name)]) != content(touched[h.Path(name)]) {
			t.Errorf("%s: the cluster's version was not kept", name)
		}
	}
	do(t, h, "proven")
	if again := do(t, h, "restored"); again.Changed {
		t.Error("a second time changes something")
	}
	// The standalone server runs on; a second rollback must not undo its work.
	h.SQL(t, "groups.db", "CREATE TABLE later (x)")
	later := sources(t, h)
	if again := do(t, h, "restored"); again.Changed || len(again.Warnings) != 1 {
		t.Errorf("after the standalone server has run: %+v", again)
	}
	if diff := cmp.Diff(later, sources(t, h)); diff != "" {
		t.Error(diff)
	}
}

func TestARollbackByHandKeepsWhatTheStandaloneServerWrote(t *testing.T) {
	for name, journalled := range map[string]bool{"before cidx_config": false, "after cidx_config": true} {
		t.Run(name, func(t *testing.T) {
			h := hometest.New(t, dsn)
			do(t, h, "taken")
			cutOver(t, h)
			clusterStart(t, h)
			raw, err := os.ReadFile(h.Path("config.json.pre-cluster"))
			must(t, err)
			must(t, os.WriteFile(h.Path("config.json"), raw, 0o640))
			h.HotSQL(t, "data/cidx_server.db", "CREATE TABLE written_standalone (x)")
			if journalled {
				rollBack(t, h, "sqlite")
			}
			before := sources(t, h)
			reply := do(t, h, "restored")
			if reply.Changed || len(reply.Warnings) != 1 || !strings.Contains(reply.Warnings[0], "by hand") {
				t.Errorf("reply %+v", reply)
			}
			if diff := cmp.Diff(before, sources(t, h)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type killed struct{ at string }

func killAt(t *testing.T, h hometest.Home, state string, n int) (at string, died bool) {
	t.Helper()
	defer func() {
		if k, ok := recover().(killed); ok {
			at, died = k.at, true
		}
	}()
	seen := 0
	_, err := call(h, state, false, func(what string) {
		if seen == n {
			panic(killed{what})
		}
		seen++
	})
	must(t, err)
	return "", false
}

func TestKilledAnywhereTheNextRunCompletes(t *testing.T) {
	for n := 0; ; n++ {
		h := hometest.New(t, dsn)
		before := sources(t, h)
		at, died := killAt(t, h, "taken", n)
		if !died {
			if n < 10 {
				t.Errorf("only %d moments to be killed at", n)
			}
			return
		}
		if n%3 != 0 && !strings.Contains(at, "publish") && !strings.Contains(at, "record") {
			continue // copies of files are all alike
		}
		do(t, h, "taken")
		cutOver(t, h)
		clusterStart(t, h)
		rollBack(t, h, "postgres")
		for m := range 3 {
			killAt(t, h, "restored", m%2)
		}
		do(t, h, "restored")
		if diff := cmp.Diff(before, sources(t, h)); diff != "" {
			t.Errorf("killed before %q: not as before:\n%s", at, diff)
		}
	}
}

func TestASourceThatIsWrittenMeanwhileIsRefused(t *testing.T) {
	h := hometest.New(t, dsn)
	_, err := call(h, "taken", false, func(what string) {
		if what == "copy oauth.db" {
			h.SQL(t, "groups.db", "CREATE TABLE meanwhile (x)")
		}
	})
	if err == nil || !strings.Contains(err.Error(), "groups.db: the file changed while") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(h.Path(".cluster-migrate/backup.json")); err == nil {
		t.Error("the set counts as complete")
	}
	do(t, h, "taken")
}

func TestALinkInPlaceOfWhatIsKeptIsRefusedOnceWithTheWayOut(t *testing.T) {
	h := hometest.New(t, dsn)
	move := func(rel string) string {
		from, to := h.Path(rel), filepath.Join(t.TempDir(), "moved")
		must(t, os.Rename(from, to))
		must(t, os.Symlink(to, from))
		return fmt.Sprintf("rm %[1]s && mv %[2]s %[1]s", from, to)
	}
	way := move("groups.db")
	move("data/golden-repos/aliases")
	_, err := call(h, "taken", false, nil)
	if err == nil {
		t.Fatal("taken")
	}
	if told := slices.Compact(strings.Split(err.Error(), "\n")); len(told) != 2 || !strings.Contains(told[0], way) {
		t.Errorf("got %q, want %q and the folder once", told, way)
	}
}

func TestADatabaseThatIsOpenIsRefused(t *testing.T) {
	h := hometest.New(t, dsn)
	stop := holdOpen(t, h.Path("groups.db"))
	if _, err := call(h, "taken", false, nil); err == nil || !strings.Contains(err.Error(), "open in sleep (pid") {
		t.Errorf("got %v", err)
	}
	stop()
	do(t, h, "taken")
}

func TestADamagedCopyIsNeverPutBack(t *testing.T) {
	h := hometest.New(t, dsn)
	do(t, h, "taken")
	cutOver(t, h)
	clusterStart(t, h)
	rollBack(t, h, "postgres")
	copied := h.Path(".cluster-migrate/snapshot/data/cidx_server.db-wal")
	raw, err := os.ReadFile(copied)
	must(t, err)
	raw[len(raw)-1] ^= 1
	must(t, os.WriteFile(copied, raw, 0o600))
	before := sources(t, h)
	if _, err := call(h, "restored", false, nil); err == nil || !strings.Contains(err.Error(), "not what was recorded") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, sources(t, h)); diff != "" {
		t.Error(diff)
	}
}

func TestRestoredKeepsTimeModeAndOwner(t *testing.T) {
	h := hometest.New(t, dsn)
	path := h.Path("data/cidx_server.db-wal")
	long := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	must(t, os.Chmod(path, 0o644))
	must(t, os.Chtimes(path, long, long))
	do(t, h, "taken")
	cutOver(t, h)
	clusterStart(t, h)
	rollBack(t, h, "postgres")
	do(t, h, "restored")
	if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(long) || info.Mode().Perm() != 0o644 {
		t.Errorf("time %v, mode %v, %v", info.ModTime(), info.Mode(), err)
	}
}

// content is a snapshot's text without the mode.
func content(text string) string {
	_, rest, _ := strings.Cut(text, " ")
	return rest
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	must(t, err)
	y, err := os.ReadFile(b)
	must(t, err)
	if string(x) != string(y) {
		t.Errorf("%s and %s differ", a, b)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
