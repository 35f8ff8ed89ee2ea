package config

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/cidx_config/cutover"
	"cidx-cluster/modules/cidx_config/further"
	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/kept"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/seal"
)

var sealing = strings.Repeat("6b", 32)

// pair is a cluster's first node, and a server beside it that is to be the second.
// Their homes have different paths here, so the first one is made to say otherwise.
type pair struct {
	one, two hometest.Home
}

func newPair(t *testing.T, kind string) pair {
	t.Helper()
	p := pair{one: ready(t)}
	to(t, p.one, home.ToCluster)
	pgtest.Exec(t, p.one.DSN, "CREATE TABLE cluster_secrets (key_name text PRIMARY KEY, key_value text NOT NULL)",
		"INSERT INTO cluster_secrets VALUES ('jwt_secret', 'jwt-Secret-Text'), ('mfa_encryption_key', 'mfa-Secret-Key')")
	p.two = hometest.Home{Dir: filepath.Join(t.TempDir(), ".cidx-server"), Share: p.one.Share, DSN: p.one.DSN}
	switch kind {
	case "installed":
		p.two = hometest.New(t, p.one.DSN)
		p.two.Share = p.one.Share
		p.two.Write(t, "config.json", fmt.Sprintf(hometest.Standalone, p.two.Dir))
		must(t, os.Remove(p.two.Path("config.json.bak.20260102_030405")))
		p.two.Write(t, ".jwt_secret", "another secret of node2\n")
		must(t, os.Remove(p.two.Path("data/mfa_key.dat")))
	case "joined":
		p.two.Write(t, "config.json", strings.Replace(fmt.Sprintf(hometest.Cluster, p.two.Dir, p.one.DSN, p.one.Share), "node-1", "node-2", 1))
	case "bare":
		must(t, os.MkdirAll(p.two.Dir, 0o755))
	}
	return p
}

// told is what the first node says.
func (p pair) told(t *testing.T, mode ansible.Mode) map[string]any {
	t.Helper()
	reply, err := newRequest(args{Common: home.Common{Home: p.one.Dir}, Wanted: sharing, Seal: sealing}, mode, nil).run(t.Context())
	must(t, err)
	raw, err := json.Marshal(reply.Data["cluster"])
	must(t, err)
	for _, secret := range []string{"jwt-Secret-Text", "mfa-Secret-Key", "node1.example.org", "ontap-Secret"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("in clear: %s", secret)
		}
	}
	var of map[string]any
	must(t, json.Unmarshal(raw, &of))
	of["home"], of["host"] = p.two.Dir, "node1"
	return of
}

// call asks the second one.
func (p pair) call(of map[string]any, mode ansible.Mode, reached func(string)) (*cutover.Change, error) {
	c := &cutover.Change{Common: home.Common{Home: p.two.Dir}, To: home.ToNode, Mode: mode, Reached: reached}
	_, err := further.Node{Change: c, ID: "node-2", Cluster: of, Seal: sealing, Plain: true}.Join(context.Background())
	return c, err
}

func (p pair) add(t *testing.T) *cutover.Change {
	t.Helper()
	j, err := p.call(p.told(t, ansible.Mode{}), ansible.Mode{}, nil)
	must(t, err)
	return j
}

func (p pair) takeOut(t *testing.T) ansible.Reply {
	t.Helper()
	reply, err := call(p.two, home.Apart, ansible.Mode{}, nil)
	must(t, err)
	return reply
}

var nodeKinds = []string{"installed", "joined", "bare"}

func TestANodeIsAddedAndTakenOutAgain(t *testing.T) {
	for _, kind := range nodeKinds {
		t.Run(kind, func(t *testing.T) {
			p := newPair(t, kind)
			before, one := homeNow(t, p.two), homeNow(t, p.one)
			share := hometest.Snapshot(t, p.one.Share)
			check := ansible.Mode{Check: true, Diff: true}
			planned, err := p.call(p.told(t, check), check, nil)
			must(t, err)
			if diff := cmp.Diff(share, hometest.Snapshot(t, p.one.Share)); diff != "" {
				t.Errorf("a rehearsal changes the share:\n%s", diff)
			}
			if diff := cmp.Diff(before, hometest.Snapshot(t, p.two.Dir)); diff != "" {
				t.Errorf("a rehearsal changes the home:\n%s", diff)
			}
			did := p.add(t)
			if len(planned.Plan) != len(did.Done) {
				t.Errorf("planned %d steps, did %q", len(planned.Plan), did.Done)
			}
			p.isANode(t)
			if again := p.add(t); len(again.Done) != 0 {
				t.Errorf("a second time changes: %q", again.Done)
			}
			if diff := cmp.Diff(one, homeNow(t, p.one)); diff != "" {
				t.Errorf("the first node has changed:\n%s", diff)
			}
			p.two.Write(t, "data/cidx_server.db", "what the node's server has made")
			p.takeOut(t)
			if kind == "installed" { // a joined one is standalone then: a start would delete what it does not find
				got := homeNow(t, p.two)
				delete(got, p.two.Path("config.json.pre-cluster"))
				if diff := cmp.Diff(before, got); diff != "" {
					t.Errorf("after the way out:\n%s", diff)
				}
			}
			p.isOut(t)
			if reply := p.takeOut(t); reply.Changed {
				t.Errorf("a second way out changes: %v", reply.Data["plan"])
			}
			p.add(t)
			p.isANode(t)
		})
	}
}

func (p pair) isANode(t *testing.T) {
	t.Helper()
	if !linked(p.two) {
		t.Error("the links are not in place")
	}
	for _, name := range []string{kept.Salt, ".jwt_secret", "data/mfa_key.dat"} {
		want, err := os.ReadFile(p.one.Path(name))
		must(t, err)
		if got, err := os.ReadFile(p.two.Path(name)); err != nil || string(got) != string(want) {
			t.Errorf("%s is not the first node's: %v", name, err)
		}
		if info, err := os.Stat(p.two.Path(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	config, err := home.ReadConfig(context.Background(), p.two.Path("config.json"))
	must(t, err)
	if !config.Cluster() || config.DSN != p.one.DSN || config.NodeID != "node-2" || config.Share != p.one.Share {
		t.Errorf("mode %s, node %s, share %s", config.StorageMode, config.NodeID, config.Share)
	}
	standing, err := home.Common{Home: p.two.Dir}.Standing()
	must(t, err)
	if !standing.Node() || standing.Migrated() || standing.Unfinished() {
		t.Errorf("standing: %+v", standing)
	}
	if left, _ := filepath.Glob(p.two.Path("data", "*.tmp")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func (p pair) isOut(t *testing.T) {
	t.Helper()
	config, err := home.ReadConfig(context.Background(), p.two.Path("config.json"))
	must(t, err)
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		if info, err := os.Lstat(p.two.Path("data", tree)); err == nil && !info.IsDir() {
			t.Errorf("%s still leads to the share", tree)
		}
	}
	if config.Cluster() {
		t.Error("config.json still is a cluster's")
	}
}

// TestANodeKilledAnywhereIsFinishedOrTakenOut: by the same command, or by the other.
func TestANodeKilledAnywhereIsFinishedOrTakenOut(t *testing.T) {
	for _, kind := range nodeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, kind)
			after := func() map[string]string {
				got := homeNow(t, p.two)
				maps.DeleteFunc(got, func(path, _ string) bool {
					return strings.Contains(path, "config.json") || kind != "installed" && path == p.two.Path("data")
				})
				return got
			}
			want := after()
			same := func(at string) {
				t.Helper()
				if diff := cmp.Diff(want, after()); diff != "" {
					t.Fatalf("killed before %q and taken out:\n%s", at, diff)
				}
			}
			for n := 0; ; n++ {
				at, died := p.killAt(t, n)
				if !died {
					if n < 5 {
						t.Errorf("only %d moments to be killed at", n)
					}
					break
				}
				p.add(t)
				p.isANode(t)
				p.takeOut(t)
				same(at)
				p.killAt(t, n)
				p.takeOut(t)
				same(at)
				p.isOut(t)
				if t.Failed() {
					t.Fatalf("killed before %q", at)
				}
			}
			p.takeOut(t)
			for m := 0; ; m++ {
				p.add(t)
				died := killed{}
				func() {
					defer func() { died, _ = recover().(killed) }()
					seen := 0
					_, err := call(p.two, home.Apart, ansible.Mode{}, func(what string) {
						if seen == m {
							panic(killed{what})
						}
						seen++
					})
					must(t, err)
				}()
				p.takeOut(t)
				same(died.at)
				if died.at == "" {
					return
				}
			}
		})
	}
}

func (p pair) killAt(t *testing.T, n int) (at string, died bool) {
	t.Helper()
	defer func() {
		if k, ok := recover().(killed); ok {
			at, died = k.at, true
		}
	}()
	seen := 0
	_, err := p.call(p.told(t, ansible.Mode{}), ansible.Mode{}, func(what string) {
		if seen == n {
			panic(killed{what})
		}
		seen++
	})
	must(t, err)
	return "", false
}

// TestANodeThatDoesNotFitIsRefused before anything is changed, and each reason is told.
func TestANodeThatDoesNotFitIsRefused(t *testing.T) {
	elsewhere := pgtest.Database(t)
	pgtest.Exec(t, elsewhere, "CREATE TABLE cluster_secrets (key_name text PRIMARY KEY, key_value text NOT NULL)", "INSERT INTO cluster_secrets VALUES ('jwt_secret', 'of another cluster')")
	for name, c := range map[string]struct {
		do   func(t *testing.T, p pair, of map[string]any)
		want string
	}{
		"another home path":         {func(_ *testing.T, _ pair, of map[string]any) { of["home"] = "/srv/cidx/.cidx-server" }, "each writes its own spelling of paths"},
		"another uid":               {func(_ *testing.T, _ pair, of map[string]any) { of["uid"] = 4711 }, "and uid 4711"},
		"a clock that is behind":    {func(_ *testing.T, _ pair, of map[string]any) { of["ahead"] = 90.0 }, "s behind that of node node-1"},
		"a clock that is before":    {func(_ *testing.T, _ pair, of map[string]any) { of["ahead"] = -90.0 }, "s before that of node node-1"},
		"a copy of the share":       {func(t *testing.T, p pair, of map[string]any) { must(t, os.Remove(p.marker(of))) }, "not the same file system"},
		"the share of yesterday":    {func(t *testing.T, p pair, of map[string]any) { must(t, os.WriteFile(p.marker(of), nil, 0o600)) }, "not the same file system"},
		"the share at another path": {func(_ *testing.T, _ pair, of map[string]any) { of["share"] = "/mnt/other" }, "and /mnt/other on node node-1"},
		"another clone backend":     {func(_ *testing.T, _ pair, of map[string]any) { of["backend"] = "ontap" }, `and "ontap" on node node-1`},
		"the id of the first node":  {func(_ *testing.T, _ pair, of map[string]any) { of["node_id"] = "node-2" }, "is the id of the other node"},
		"another cluster's database": {func(t *testing.T, p pair, _ map[string]any) {
			p.two.Write(t, "config.json", strings.NewReplacer("node-1", "node-2", p.one.DSN, elsewhere).Replace(fmt.Sprintf(hometest.Cluster, p.two.Dir, p.one.DSN, p.one.Share)))
		}, "not the database of node node-1"},
		"a repository that is not on the share": {func(t *testing.T, p pair, _ map[string]any) {
			must(t, os.RemoveAll(filepath.Join(p.one.Share, "golden-repos", "web")))
		}, "repository web: no such folder"},
		"a salt that opens no token": {func(t *testing.T, p pair, _ map[string]any) {
			pgtest.Exec(t, p.one.DSN, "CREATE TABLE ci_tokens (encrypted_token text)", "INSERT INTO ci_tokens VALUES ('"+base64.StdEncoding.EncodeToString(make([]byte, 32))+"')")
		}, "no stored token can be opened"},
		"a marker that is no name of one": {func(_ *testing.T, _ pair, of map[string]any) { of["marker"] = "../../etc/passwd" }, "is no marker of ours"},
		"what another run has closed":     {func(_ *testing.T, _ pair, of map[string]any) { of["sealed"] = "AAAA" + of["sealed"].(string) }, "closed with another key"},
		"a server that was migrated":      {func(t *testing.T, p pair, _ map[string]any) { p.begun(t, home.ToCluster) }, "this server was migrated itself"},
		"a way out that stopped":          {func(t *testing.T, p pair, _ map[string]any) { p.begun(t, home.Apart) }, "a way out of the cluster was interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, "joined")
			of := p.told(t, ansible.Mode{})
			c.do(t, p, of)
			before := homeNow(t, p.two)
			_, err := p.call(of, ansible.Mode{}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			for _, found := range problem.Of(err) {
				if found.Fix == "" {
					t.Errorf("no fix: %+v", found)
				}
			}
			if diff := cmp.Diff(before, homeNow(t, p.two)); diff != "" {
				t.Errorf("the home has changed:\n%s", diff)
			}
		})
	}
}

func (p pair) marker(of map[string]any) string {
	return filepath.Join(p.one.Share, "golden-repos", of["marker"].(string))
}

func (p pair) begun(t *testing.T, state string) {
	t.Helper()
	c := cutover.Change{Common: home.Common{Home: p.two.Dir}, To: state}
	must(t, c.Note(home.ConfigBegun, nil))
}

// TestARehearsalKnowsACopyOfTheShare by its alias files, as it leaves no marker.
func TestARehearsalKnowsACopyOfTheShare(t *testing.T) {
	p, check := newPair(t, "joined"), ansible.Mode{Check: true}
	of := p.told(t, check)
	of["time"] = time.Now().Add(time.Hour)
	must(t, os.Remove(filepath.Join(p.one.Share, "golden-repos", "aliases", "web-global.json")))
	if _, err := p.call(of, check, nil); err == nil || !strings.Contains(err.Error(), "not the same file system") {
		t.Errorf("got %v", err)
	}
}

// TestOnlyKeyFilesAreWritten, whatever the other node calls a key.
func TestOnlyKeyFilesAreWritten(t *testing.T) {
	p := newPair(t, "joined")
	of := p.told(t, ansible.Mode{})
	var given map[string]any
	must(t, seal.Open(sealing, of["sealed"].(string), &given))
	given["keys"].(map[string]any)["../.ssh/authorized_keys"] = []byte("ssh-ed25519 of somebody else")
	sealed, err := seal.Close(sealing, given)
	must(t, err)
	of["sealed"] = sealed
	_, err = p.call(of, ansible.Mode{}, nil)
	must(t, err)
	p.isANode(t)
	if _, err := os.Lstat(filepath.Join(p.two.Dir, "..", ".ssh")); err == nil {
		t.Error("a file beside the home")
	}
}

// TestAnAdditionThatFailsIsTakenBack; one that went on from a killed one stays as
// it is, and is finished or taken out.
func TestAnAdditionThatFailsIsTakenBack(t *testing.T) {
	p := newPair(t, "installed")
	before := homeNow(t, p.two)
	repo := filepath.Join(p.one.Share, "golden-repos", "web")
	vanish := func(what string) {
		if strings.HasPrefix(what, "set storage_mode") {
			must(t, os.Rename(repo, repo+".away"))
		}
	}
	fails := func() {
		t.Helper()
		if _, err := p.call(p.told(t, ansible.Mode{}), ansible.Mode{}, vanish); err == nil || !strings.Contains(err.Error(), "repository web") {
			t.Fatalf("got %v", err)
		}
		must(t, os.Rename(repo+".away", repo))
	}
	fails()
	got := homeNow(t, p.two)
	delete(got, p.two.Path("config.json.pre-cluster"))
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("not taken back:\n%s", diff)
	}
	if _, died := p.killAt(t, 4); !died {
		t.Fatal("not killed")
	}
	fails()
	if standing, err := (home.Common{Home: p.two.Dir}).Standing(); err != nil || standing.Begun != home.ToNode {
		t.Errorf("a way out is needed: %+v, %v", standing, err)
	}
	p.takeOut(t)
	got = homeNow(t, p.two)
	delete(got, p.two.Path("config.json.pre-cluster"))
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("after the way out:\n%s", diff)
	}
}

// TestANodeMadeByHandIsNotTakenOut, as nothing is known of what it had before.
func TestANodeMadeByHandIsNotTakenOut(t *testing.T) {
	p := newPair(t, "joined")
	must(t, os.MkdirAll(p.two.Path("data"), 0o755))
	for _, tree := range []string{"golden-repos", "activated-repos"} {
		must(t, os.Symlink(filepath.Join(p.two.Share, tree), p.two.Path("data", tree)))
	}
	for _, added := range []bool{false, true} {
		if added {
			p.add(t)
		}
		if _, err := call(p.two, home.Apart, ansible.Mode{}, nil); err == nil || !strings.Contains(err.Error(), "has not made") {
			t.Errorf("added by cluster-node.yml: %v: %v", added, err)
		}
	}
}

// TestAFurtherNodeIsNoMigratedServer: neither migrated nor rolled back as one.
func TestAFurtherNodeIsNoMigratedServer(t *testing.T) {
	p := newPair(t, "joined")
	p.add(t)
	for _, state := range []string{home.ToCluster, home.ToStandalone} {
		if _, err := call(p.two, state, ansible.Mode{Check: true}, nil); err == nil || !strings.Contains(err.Error(), "further node") {
			t.Errorf("%s: %v", state, err)
		}
	}
	if _, err := call(p.one, home.Apart, ansible.Mode{Check: true}, nil); err == nil || !strings.Contains(err.Error(), "cluster-rollback.yml") {
		t.Errorf("the first node taken out: %v", err)
	}
}

// TestTheMarkerIsTakenAway, and nothing else can be with its name.
func TestTheMarkerIsTakenAway(t *testing.T) {
	p := newPair(t, "joined")
	before := hometest.Snapshot(t, p.one.Share)
	of := p.told(t, ansible.Mode{})
	for range 2 {
		_, err := newRequest(args{Common: home.Common{Home: p.one.Dir}, Wanted: unsharing, Cluster: of}, ansible.Mode{}, nil).run(t.Context())
		must(t, err)
	}
	if diff := cmp.Diff(before, hometest.Snapshot(t, p.one.Share)); diff != "" {
		t.Errorf("the share:\n%s", diff)
	}
	of["marker"] = "../.cidx-cluster-node-"
	again := newRequest(args{Common: home.Common{Home: p.one.Dir}, Wanted: unsharing, Cluster: of}, ansible.Mode{}, nil)
	if _, err := again.run(t.Context()); err == nil {
		t.Error("another file's name is taken")
	}
}
