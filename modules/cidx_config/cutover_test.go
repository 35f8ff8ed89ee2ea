package config

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// ready is a home of which everything but the cut-over is done.
func ready(t *testing.T) hometest.Home {
	h := hometest.New(t, pgtest.Database(t))
	h.Copy(t)
	h.Load(t)
	raw, err := os.ReadFile(h.Path("config.json.bak.20260102_030405"))
	must(t, err)
	must(t, os.WriteFile(h.Path("config.json.pre-cluster"), raw, 0o640))
	h.Stand(t)
	return h
}

func call(h hometest.Home, state string, mode ansible.Mode, reached func(string)) (ansible.Reply, error) {
	return newRequest(args{Common: home.Common{Home: h.Dir}, Wanted: state}, mode, reached).run(context.Background())
}

func to(t *testing.T, h hometest.Home, state string) ansible.Reply {
	t.Helper()
	if state == home.ToCluster {
		h.Stand(t) // as the steps before the cut-over do in every run
	}
	reply, err := call(h, state, ansible.Mode{}, nil)
	if err != nil {
		t.Fatalf("to %s: %v", state, err)
	}
	return reply
}

// look at the home without our own records.
func homeNow(t *testing.T, h hometest.Home) map[string]string {
	all := hometest.Snapshot(t, h.Dir)
	maps.DeleteFunc(all, func(path, _ string) bool { return strings.Contains(path, ".cluster-migrate") })
	return all
}

func linked(h hometest.Home) bool {
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		if to, err := os.Readlink(h.Path("data", tree)); err != nil || to != filepath.Join(h.Share, tree) {
			return false
		}
	}
	return true
}

func TestThereAndBackAgain(t *testing.T) {
	h := ready(t)
	before, share := homeNow(t, h), hometest.Snapshot(t, h.Share)
	if reply := to(t, h, home.ToCluster); !reply.Changed || reply.Data["repositories"] != 3 || reply.Data["aliases"] != 3 {
		t.Errorf("reply %+v", reply)
	}
	if !linked(h) {
		t.Error("the links are not in place")
	}
	if reply := to(t, h, home.ToCluster); reply.Changed {
		t.Errorf("a second time changes: %v", reply.Data["plan"])
	}
	if reply := to(t, h, home.ToStandalone); !reply.Changed {
		t.Error("the way back changes nothing")
	}
	want := maps.Clone(before)
	want[h.Path("config.json")] = strings.Replace(before[h.Path("config.json.bak.20260102_030405")], "-rw-------", "-rw-r-----", 1)
	if diff := cmp.Diff(want, homeNow(t, h)); diff != "" {
		t.Errorf("after the way back:\n%s", diff)
	}
	if reply := to(t, h, home.ToStandalone); reply.Changed {
		t.Errorf("a second way back changes: %v", reply.Data["plan"])
	} else if reply.Data["unfinished"] != false {
		t.Error("a finished way back is told as unfinished")
	}
	must(t, os.WriteFile(h.Path(".cluster-migrate/hold"), nil, 0o600))
	if reply := to(t, h, home.ToStandalone); reply.Data["unfinished"] != true {
		t.Error("a run that stopped before the release is told as finished")
	}
	must(t, os.Remove(h.Path(".cluster-migrate/hold")))
	for _, last := range []struct {
		event  string
		loaded bool
	}{{home.DatabaseLoaded, true}, {home.DatabaseRolledBack, false}, {home.DatabaseUnreached, true}, {home.DatabaseRolledBack, false}} {
		must(t, journal.Append(h.Path(".cluster-migrate/journal.jsonl"), home.DatabaseModule, last.event, nil))
		if reply := to(t, h, home.ToStandalone); reply.Changed || reply.Data["loaded"] != last.loaded {
			t.Errorf("after %s: changed %v, loaded %v", last.event, reply.Changed, reply.Data["loaded"])
		}
	}
	if diff := cmp.Diff(share, hometest.Snapshot(t, h.Share)); diff != "" {
		t.Errorf("the share was changed:\n%s", diff)
	}
	// Once more: the cluster's settings come from the state folder now.
	to(t, h, home.ToCluster)
	config, err := home.ReadConfig(context.Background(), h.Path("config.json"))
	must(t, err)
	if !linked(h) || !config.Cluster() || config.DSN != h.DSN || config.NodeID != "node-1" || config.Share != h.Share {
		t.Errorf("second migration: linked %v, mode %s, node %s, share %s", linked(h), config.StorageMode, config.NodeID, config.Share)
	}
	if !strings.Contains(string(config.Raw), "\n  \"server_threadpool_size\": 40\n}\n") {
		t.Error("other values of config.json have changed")
	}
}

// While the server is held, a standalone config.json that is newer than the hold
// means that an operator has gone back by hand, and lets it start. What we write
// there must not: a boot in the middle of a rollback would start the server on
// databases that are still to be restored.
func TestTheServerStaysHeldWhenTheConfigurationChanges(t *testing.T) {
	h := ready(t)
	hold := h.Path(".cluster-migrate/hold")
	must(t, os.MkdirAll(filepath.Dir(hold), 0o700))
	for _, state := range []string{home.ToCluster, home.ToStandalone} {
		must(t, os.WriteFile(hold, []byte(state), 0o600))
		held, err := os.Stat(hold)
		must(t, err)
		to(t, h, state)
		config, err := os.Stat(h.Path("config.json"))
		must(t, err)
		if config.ModTime().After(held.ModTime()) {
			t.Errorf("to %s: config.json is newer than the hold", state)
		}
	}
	must(t, os.Remove(hold))
	begun := time.Now().Add(-time.Second)
	to(t, h, home.ToCluster)
	if info, err := os.Stat(h.Path("config.json")); err != nil || info.ModTime().Before(begun) {
		t.Errorf("without a hold config.json is written with an old time: %v", err)
	}
}

type killed struct{ at string }

func TestRefusedAndNothingChanged(t *testing.T) {
	cases := map[string]struct {
		spoil func(t *testing.T, h hometest.Home)
		what  string
	}{
		"the files are not on the share": {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(filepath.Join(h.Share, "golden-repos"))) }, "no such folder on the share"},
		"a repository is missing there":  {func(t *testing.T, h hometest.Home) { must(t, os.RemoveAll(filepath.Join(h.Share, "golden-repos/web"))) }, "repository web: no such folder"},
		"the database is empty":          {func(t *testing.T, h hometest.Home) { pgtest.Exec(t, h.DSN, "DELETE FROM golden_repos_metadata") }, "golden_repos_metadata is empty"},
		"a path leads elsewhere": {func(t *testing.T, h hometest.Home) {
			must(t, os.RemoveAll(filepath.Join(h.Share, "golden-repos/web")))
			must(t, os.Symlink(h.Path("data/activated-repos/ann/web"), filepath.Join(h.Share, "golden-repos/web")))
		}, "is not below"},
		"an alias keeps a local path that is not copied": {func(t *testing.T, h hometest.Home) {
			must(t, os.WriteFile(filepath.Join(h.Share, "golden-repos/aliases/web-global.json"), []byte(`{"target_path": "/srv/elsewhere/web"}`), 0o600))
		}, "alias web-global: no such folder: /srv/elsewhere/web"},
		"both a folder and its backup": {func(t *testing.T, h hometest.Home) { must(t, os.Mkdir(h.Path("data/golden-repos.pre-cluster"), 0o700)) }, "two folders"},
		"a link to another place": {func(t *testing.T, h hometest.Home) {
			must(t, os.Rename(h.Path("data/activated-repos"), h.Path("elsewhere")))
			must(t, os.Symlink(h.Path("elsewhere"), h.Path("data/activated-repos")))
		}, "a link to"},
		"no node_id":      {func(t *testing.T, h hometest.Home) { edit(t, h, "node_id", "sharding_enabled") }, "no cluster.node_id"},
		"a wrong port":    {func(t *testing.T, h hometest.Home) { edit(t, h, "@127.0.0.1:", "@127.0.0.1:1") }, "port"},
		"no config.json":  {func(t *testing.T, h hometest.Home) { must(t, os.Remove(h.Path("config.json"))) }, "no such file"},
		"invalid JSON":    {func(t *testing.T, h hometest.Home) { edit(t, h, "}", "") }, "not valid JSON"},
		"no cluster-join": {func(t *testing.T, h hometest.Home) { edit(t, h, "postgres\"", "sqlite\"") }, "no cluster settings"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := ready(t)
			c.spoil(t, h)
			before := hometest.Snapshot(t, h.Dir, h.Share)
			reply, err := call(h, home.ToCluster, ansible.Mode{}, nil)
			if err == nil || !strings.Contains(err.Error(), c.what) {
				t.Errorf("got %v, want %q", err, c.what)
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir, h.Share)); diff != "" || reply.Changed {
				t.Errorf("changed: %v\n%s", reply.Changed, diff)
			}
			for _, p := range problem.Of(err) {
				if p.At == "" || p.Fix == "" {
					t.Errorf("no place or no way out: %+v", p)
				}
			}
		})
	}
}

func TestCheckModeTellsAndChangesNothing(t *testing.T) {
	h := hometest.New(t, pgtest.Database(t)) // nothing copied, nothing loaded
	before := hometest.Snapshot(t, h.Dir, h.Share)
	reply, err := call(h, home.ToCluster, ansible.Mode{Check: true, Diff: true}, nil)
	must(t, err)
	if plan := reply.Data["plan"].([]string); !reply.Changed || len(plan) != 2 {
		t.Errorf("plan %q", plan)
	}
	if unchecked := reply.Data["unchecked"].([]string); len(unchecked) != 2 {
		t.Errorf("unchecked %q", unchecked)
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir, h.Share)); diff != "" {
		t.Error(diff)
	}
}

func TestTheDiffShowsNoSecret(t *testing.T) {
	h := ready(t)
	edit(t, h, `"server_threadpool_size": 40`, `"anthropic_api_key": "sk-ant-\"quoted", "oidc": {"client_secret": "oidc-Secret"}, "server_threadpool_size": 40`)
	to(t, h, home.ToCluster)
	reply, err := call(h, home.ToStandalone, ansible.Mode{Check: true, Diff: true}, nil)
	must(t, err)
	raw, err := json.Marshal(reply)
	must(t, err)
	if len(reply.Diff) == 0 {
		t.Fatal("no diff")
	}
	for _, secret := range []string{pgtest.Password, "ontap-Secret", "sk-ant", "oidc-Secret"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the diff shows %q", secret)
		}
	}
}

func TestALinkOrMountThatIsThereAlreadyIsAccepted(t *testing.T) {
	h := ready(t)
	must(t, os.Rename(h.Path("data/golden-repos"), h.Path("kept-elsewhere")))
	must(t, os.Symlink("../../share/golden-repos", h.Path("data/golden-repos")))
	reply := to(t, h, home.ToCluster)
	if plan := reply.Data["plan"].([]string); len(plan) != 1 || !strings.Contains(plan[0], "activated-repos") {
		t.Errorf("plan %q", plan)
	}
	to(t, h, home.ToStandalone)
	if to, _ := os.Readlink(h.Path("data/golden-repos")); to != "../../share/golden-repos" {
		t.Errorf("a link that was not ours is now %q", to)
	}
}

// The cut-over is proven with the rights of whoever makes it, who is the
// server's user: nobody else's would tell anything.
func TestTheCutOverIsMadeByTheServersUserOnly(t *testing.T) {
	h := ready(t)
	c := newRequest(args{Common: home.Common{Home: h.Dir, ServiceUser: "nobody"}, Wanted: home.ToCluster}, ansible.Mode{}, nil)
	if _, err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot look as user nobody") {
		t.Errorf("got %v", err)
	}
	if linked(h) {
		t.Error("the cut-over happened")
	}
}

func edit(t *testing.T, h hometest.Home, old, new string) {
	t.Helper()
	raw, err := os.ReadFile(h.Path("config.json"))
	must(t, err)
	if !strings.Contains(string(raw), old) {
		t.Fatalf("config.json has no %s", old)
	}
	must(t, os.WriteFile(h.Path("config.json"), []byte(strings.ReplaceAll(string(raw), old, new)), 0o640))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
