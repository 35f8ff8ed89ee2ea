package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/problem"
)

// Without what was set aside neither a rollback nor a migration touches the
// cluster node.
func TestWithoutWhatWasSetAsideNothingIsTouched(t *testing.T) {
	cases := map[string]struct {
		spoil func(t *testing.T, h hometest.Home)
		what  string
	}{
		"the folder of the repositories": {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(h.Path("data/golden-repos.pre-cluster"))) }, "golden-repos.pre-cluster: the folder of the standalone server is gone"},
		"that of the activated ones":     {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(h.Path("data/activated-repos.pre-cluster"))) }, "activated-repos.pre-cluster: the folder of the standalone server is gone"},
		"a file in its place": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(h.Path("data/golden-repos.pre-cluster")))
			h.Write(t, "data/golden-repos.pre-cluster", "")
		}, "not a folder"},
		"emptied": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(h.Path("data/golden-repos.pre-cluster")))
			must(t, os.Mkdir(h.Path("data/golden-repos.pre-cluster"), 0o700))
		}, "is empty"},
		"emptied, and no list of an earlier release": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(h.Path("data/golden-repos.pre-cluster")))
			must(t, os.Mkdir(h.Path("data/golden-repos.pre-cluster"), 0o700))
			must(t, os.Remove(h.Path(".cluster-migrate/set-aside.json")))
		}, "is empty"},
		"a repository": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(h.Path("data/golden-repos.pre-cluster/web")))
		}, `"web"`},
		"the inside of one": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(h.Path("data/golden-repos.pre-cluster/web/.git")))
		}, `"web/.git"`},
		"an alias file": {func(t *testing.T, h hometest.Home) {
			must(t, os.Remove(h.Path("data/golden-repos.pre-cluster/aliases/web-global.json")))
		}, `"aliases/web-global.json"`},
		"the work of a user": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(h.Path("data/activated-repos.pre-cluster/ann")))
		}, "is empty"},
		"the configuration": {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("config.json.pre-cluster"))) }, ""},
		"a cluster one in its place": {func(t *testing.T, h hometest.Home) {
			raw, err := os.ReadFile(h.Path("config.json"))
			must(t, err)
			must(t, os.WriteFile(h.Path("config.json.pre-cluster"), raw, 0o600))
		}, "not a standalone configuration"},
		"a torn one in its place": {func(t *testing.T, h hometest.Home) { h.Write(t, "config.json.pre-cluster", "{") }, "not valid JSON"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := ready(t)
			to(t, h, home.ToCluster)
			c.spoil(t, h)
			before := hometest.Snapshot(t, h.Dir, h.Share)
			for _, check := range []bool{true, false} {
				_, err := call(h, home.ToStandalone, ansible.Mode{Check: check}, nil)
				if c.what == "" && err == nil {
					return // it is made again from config.json.bak
				}
				if err == nil || !strings.Contains(err.Error(), c.what) {
					t.Errorf("got %v, want %q", err, c.what)
				}
				for _, p := range problem.Of(err) {
					if p.At == "" || p.Fix == "" {
						t.Errorf("no way on: %+v", p)
					}
				}
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir, h.Share)); diff != "" {
				t.Error(diff)
			}
			if c.what == "not a folder" {
				return // that is in the way of every cut-over
			}
			if _, err := call(h, home.ToCluster, ansible.Mode{}, nil); err != nil {
				t.Errorf("a migration of the migrated server: %v", err)
			}
		})
	}
}

// A rollback of an earlier release called it a success to run on the cluster's
// share: from there no migration begins.
func TestAHomeThatLostItsWayBackIsNotMigratedAgain(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		must(t, os.RemoveAll(h.Path("data", tree)+".pre-cluster"))
	}
	c := cutover.Change{Common: home.Common{Home: h.Dir}, To: home.ToStandalone}
	must(t, c.Note(home.ConfigBegun, nil))
	must(t, c.Note(home.ConfigDone, nil))
	before := hometest.Snapshot(t, h.Dir)
	for _, check := range []bool{true, false} {
		if _, err := call(h, home.ToCluster, ansible.Mode{Check: check}, nil); err == nil || !strings.Contains(err.Error(), "is gone") {
			t.Errorf("got %v", err)
		}
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

// Cleaned up by hand, with the record: it stays a cluster node.
func TestAMigratedServerWithoutItsRecordStaysOne(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	for _, name := range []string{"data/golden-repos.pre-cluster", "data/activated-repos.pre-cluster", ".cluster-migrate"} {
		must(t, os.RemoveAll(h.Path(name)))
	}
	before := hometest.Snapshot(t, h.Dir)
	for _, check := range []bool{true, false} {
		if reply, err := call(h, home.ToCluster, ansible.Mode{Check: check}, nil); err != nil || reply.Changed {
			t.Errorf("to cluster: changed %v, %v", reply.Changed, err)
		}
		if _, err := call(h, home.ToStandalone, ansible.Mode{Check: check}, nil); err == nil || !strings.Contains(err.Error(), "cannot be rolled back") {
			t.Errorf("to standalone: %v", err)
		}
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir)); diff != "" {
		t.Error(diff)
	}
}

// A rollback that was stopped between two folders goes on.
func TestWhatIsBackAlreadyIsNotMissed(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	link := h.Path("data/golden-repos")
	must(t, os.Remove(link))
	must(t, os.Rename(link+".pre-cluster", link))
	to(t, h, home.ToStandalone)
	if info, err := os.Lstat(filepath.Join(h.Dir, "data/activated-repos")); err != nil || !info.IsDir() {
		t.Errorf("not finished: %v", err)
	}
}
