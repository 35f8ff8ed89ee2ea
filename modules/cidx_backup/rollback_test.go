package backup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/kept"
)

// migrated is a home whose backup was taken and which was cut over: its trees
// are set aside, links lead to the share.
func migrated(t *testing.T) hometest.Home {
	h := hometest.New(t, dsn)
	do(t, h, "taken")
	for _, tree := range []string{"data/golden-repos", "data/activated-repos"} {
		must(t, os.Rename(h.Path(tree), h.Path(tree)+".pre-cluster"))
		must(t, os.Symlink(filepath.Join(h.Share, filepath.Base(tree)), h.Path(tree)))
	}
	cutOver(t, h)
	return h
}

// A file that was backed up may be gone by the time of the rollback: the
// cluster's clean stop folds a -wal into its database, and removes a hot
// journal that it has played back.
func TestRestoredBringsBackWhatIsGone(t *testing.T) {
	gone := map[string]func(t *testing.T, h hometest.Home){
		"the -wal was folded in by a clean stop": func(t *testing.T, h hometest.Home) {
			h.SQL(t, "data/cidx_server.db", "PRAGMA wal_checkpoint(TRUNCATE)", "CREATE TABLE of_the_cluster (x)")
		},
		"a hot journal was played back": func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("oauth.db-journal"))) },
		"a database was removed":        func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("groups.db"))) },
		"a key was removed":             func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("data/mfa_key.dat"))) },
		"all of it, and new ones came": func(t *testing.T, h hometest.Home) {
			for _, name := range []string{"data/cidx_server.db", "data/cidx_server.db-wal", "oauth.db", "oauth.db-journal", "groups.db"} {
				must(t, os.Remove(h.Path(name)))
			}
			h.SQL(t, "logs.db", "CREATE TABLE logs (x)")
		},
	}
	for name, change := range gone {
		t.Run(name, func(t *testing.T) {
			h := hometest.New(t, dsn)
			h.Write(t, "oauth.db-journal", "the journal of a writer that was killed")
			before := sources(t, h)
			do(t, h, "taken")
			cutOver(t, h)
			change(t, h)
			rollBack(t, h, "postgres")
			do(t, h, "restored")
			if diff := cmp.Diff(before, sources(t, h)); diff != "" {
				t.Error(diff)
			}
			if again := do(t, h, "restored"); again.Changed {
				t.Error("a second rollback changes something")
			}
			// A second time: cut over, killed in cluster mode, rolled back.
			do(t, h, "taken")
			cutOver(t, h)
			clusterStart(t, h)
			rollBack(t, h, "postgres")
			do(t, h, "restored")
			if diff := cmp.Diff(before, sources(t, h)); diff != "" {
				t.Errorf("the second time:\n%s", diff)
			}
		})
	}
}

// The record lies in a folder of the service user's: it may name anything.
func TestARecordNamesOnlyFilesOfTheServer(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("root's own"), 0o600))
	cases := map[string]kept.Source{
		"an absolute path":                   {Path: victim, Kind: kept.Key, Copy: "snapshot/.jwt_secret"},
		"an absolute path that was absent":   {Path: victim, Kind: kept.Key, Absent: true},
		"a path that climbs":                 {Path: "../share/victim", Kind: kept.Key, Absent: true},
		"a climbing alias":                   {Path: "data/golden-repos/../../victim.json", Kind: kept.Alias, Absent: true},
		"another file of the home":           {Path: "launch.json", Kind: kept.Key, Absent: true},
		"a key that is no key":               {Path: "config.json", Kind: kept.Key, Absent: true},
		"a copy elsewhere":                   {Path: ".jwt_secret", Kind: kept.Key, Copy: "../data/mfa_key.dat"},
		"a copy of another file":             {Path: ".jwt_secret", Kind: kept.Key, Copy: "snapshot/data/mfa_key.dat"},
		"a copy at an absolute path":         {Path: ".jwt_secret", Kind: kept.Key, Copy: victim},
		"an alias folder that is not CIDX's": {Path: "data/other/x.json", Kind: kept.Alias, Absent: true},
	}
	for name, evil := range cases {
		t.Run(name, func(t *testing.T) {
			h := migrated(t)
			path := h.Path(".cluster-migrate/backup.json")
			raw, err := os.ReadFile(path)
			must(t, err)
			var r kept.Record
			must(t, json.Unmarshal(raw, &r))
			r.Sources = append(r.Sources, evil)
			raw, err = json.Marshal(r)
			must(t, err)
			must(t, os.WriteFile(path, raw, 0o600))
			before := hometest.Snapshot(t, h.Dir, victim)
			for _, state := range []string{"restorable", "restored", "proven", "taken"} {
				if _, err := call(h, state, false, nil); err == nil || !strings.Contains(err.Error(), "backup.json") {
					t.Errorf("%s: %v", state, err)
				}
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir, victim)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A link at any part of a path, planted before the rollback or the backup.
func TestNoLinkIsFollowedToOrFromABackup(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.MkdirAll(outside, 0o700))
	must(t, os.WriteFile(filepath.Join(outside, "groups.db"), []byte("root's"), 0o600))
	plant := func(t *testing.T, path string) {
		must(t, os.RemoveAll(path))
		must(t, os.Symlink(outside, path))
	}
	cases := map[string]struct {
		path  string
		state string
	}{
		"the file itself, at the backup":   {"groups.db", "taken"},
		"the file itself, at the rollback": {"groups.db", "restored"},
		"the folder of the copies":         {".cluster-migrate/snapshot", "restored"},
		"a folder below it":                {".cluster-migrate/snapshot/data", "restored"},
		"the folder for what is set aside": {".cluster-migrate/after-cluster", "restored"},
		"an unfinished copy":               {".cluster-migrate/snapshot.unfinished", "taken"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := hometest.New(t, dsn)
			if c.state == "restored" {
				do(t, h, "taken")
				cutOver(t, h)
				clusterStart(t, h)
				rollBack(t, h, "postgres")
			} else {
				must(t, os.MkdirAll(h.Path(".cluster-migrate"), 0o700))
			}
			plant(t, h.Path(c.path))
			before := hometest.Snapshot(t, outside)
			_, err := call(h, c.state, false, nil)
			if err == nil && !strings.Contains(c.path, "unfinished") { // that link is removed
				t.Error("no complaint")
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, outside)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a rollback needs is looked for before it touches anything.
func TestRestorableNamesWhatIsMissing(t *testing.T) {
	cases := map[string]struct {
		spoil func(t *testing.T, h hometest.Home)
		what  string
	}{
		"nothing is missing": {func(*testing.T, hometest.Home) {}, ""},
		"the state folder":   {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(h.Path(".cluster-migrate"))) }, "journal of the migration is gone"},
		"the record":         {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path(".cluster-migrate/backup.json"))) }, "record of the backup is gone"},
		"the snapshot":       {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(h.Path(".cluster-migrate/snapshot"))) }, "the copy is gone"},
		"accepted": {func(t *testing.T, h hometest.Home) {
			h.Write(t, ".cluster-migrate/accepted.json", `{"by": "ann@controller"}`)
		}, "by ann@controller"},
		"everything": {func(t *testing.T, h hometest.Home) {
			for _, gone := range []string{".cluster-migrate", "config.json.pre-cluster", "data/golden-repos.pre-cluster", "data/activated-repos.pre-cluster"} {
				must(t, os.RemoveAll(h.Path(gone)))
			}
		}, "journal of the migration is gone"},
		"one copy": {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path(".cluster-migrate/snapshot/oauth.db"))) }, "snapshot/oauth.db: the copy is gone"},
		"a damaged copy": {func(t *testing.T, h hometest.Home) {
			h.Write(t, ".cluster-migrate/snapshot/data/mfa_key.dat", "mfa-Other-Key!\n")
		}, "not what was recorded"},
		"an alias file": {func(t *testing.T, h hometest.Home) {
			must(t, os.Remove(h.Path("data/golden-repos.pre-cluster/aliases/web-global.json")))
		}, "cp -p "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := migrated(t)
			clusterStart(t, h)
			c.spoil(t, h)
			before := hometest.Snapshot(t, h.Dir)
			_, err := call(h, "restorable", false, nil)
			if c.what == "" && err != nil || c.what != "" && (err == nil || !strings.Contains(err.Error(), c.what)) {
				t.Errorf("got %v, want %q", err, c.what)
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Before the stop only the configuration is written; the backup then finds it.
func TestPreparedWritesTheStandaloneConfigurationOnly(t *testing.T) {
	h := hometest.New(t, dsn)
	before := sources(t, h)
	if _, err := call(h, "prepared", true, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(h.Path("config.json.pre-cluster")); err == nil {
		t.Error("a rehearsal writes")
	}
	do(t, h, "prepared")
	if diff := cmp.Diff(before, sources(t, h)); diff != "" {
		t.Error(diff)
	}
	raw, err := os.ReadFile(h.Path("config.json.pre-cluster"))
	must(t, err)
	if !strings.Contains(string(raw), `"storage_mode": "sqlite"`) {
		t.Errorf("not a standalone configuration: %s", raw)
	}
	if again := do(t, h, "prepared"); again.Changed {
		t.Error("a second time changes something")
	}
	do(t, h, "taken")
}

// An alias file that cannot be read is no file that is not one.
func TestAnAliasFileThatCannotBeReadIsTold(t *testing.T) {
	h := hometest.New(t, dsn)
	path := h.Path("data/golden-repos/aliases/web-global.json")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700)) // a folder is not asked for
	do(t, h, "taken")
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, nil, 0o000))
	if _, err := call(h, "taken", true, nil); err == nil || !strings.Contains(err.Error(), "web-global.json") {
		t.Errorf("got %v", err)
	}
}
