package home_test

import (
	"os"
	"path/filepath"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
)

// TestAKeyThatStandsTwiceIsRefused: readers of JSON disagree about which one counts.
func TestAKeyThatStandsTwiceIsRefused(t *testing.T) {
	h := hometest.New(t, "")
	h.Write(t, "config.json", `{"storage_mode": "sqlite", "cluster": {"node_id": "a", "node_id": "b"}}`)
	if _, err := (home.Common{Home: h.Dir}).Config(t.Context()); err == nil {
		t.Error("the configuration is taken")
	}
	golden := h.Path("data/golden-repos")
	h.Write(t, "data/golden-repos/aliases/web-global.json", `{"target_path": "/a", "target_path": "/b"}`)
	if path := filepath.Join(golden, "aliases/web-global.json"); home.IsAliasFile(path) || home.AliasTargets(golden, "web-global") != nil {
		t.Error("the alias file is taken")
	}
	if list, err := home.Aliases(golden); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestAnAliasFileIsReadOrMissedLoudly: whatever lies beside them, and wherever.
func TestAnAliasFileIsReadOrMissedLoudly(t *testing.T) {
	h := hometest.New(t, "")
	golden := h.Path("data/golden-repos")
	h.Write(t, "data/golden-repos/old-global.json", `{"target_path": "/old"}`)
	h.Write(t, "data/golden-repos/aliases/.hidden-global.json", `{"target_path": "/hidden"}`)
	h.Write(t, "data/golden-repos/aliases/notes.json", `{"text": "target_path"}`)
	h.Write(t, "data/golden-repos/aliases/torn.json", `{"target_path": "/torn`)
	if err := os.Symlink("web-global.json", filepath.Join(golden, "aliases/link-global.json")); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	list, err := home.Aliases(golden)
	for _, a := range list {
		found[a.Rel] = a.Name + " " + a.Target
	}
	if err != nil || len(found) != 5 || found["old-global.json"] != "old-global /old" || found["aliases/.hidden-global.json"] == "" {
		t.Errorf("%v, %v", found, err)
	}
	// A folder without its files is none without alias files.
	if err := os.Remove(filepath.Join(golden, "aliases/web-global.json")); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(golden, "aliases")
	if err := os.RemoveAll(loop); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("aliases", loop); err != nil {
		t.Fatal(err)
	}
	if list, err := home.Aliases(golden); err == nil {
		t.Errorf("an unreadable folder holds %+v", list)
	}
}

// TestTheServersUserIsNamedOrOwnsTheHome: for every step alike.
func TestTheServersUserIsNamedOrOwnsTheHome(t *testing.T) {
	h := hometest.New(t, "")
	if user, err := (home.Common{Home: h.Dir}).User(); err != nil || user.UID != os.Geteuid() {
		t.Errorf("owner: %v, %v", user, err)
	}
	if user, err := (home.Common{Home: h.Dir, ServiceUser: "nobody"}).User(); err != nil || user.String() != "nobody" {
		t.Errorf("named: %v, %v", user, err)
	}
	if _, err := (home.Common{Home: h.Dir, ServiceUser: "no-such-user"}).User(); err == nil {
		t.Error("a user that does not exist is taken")
	}
}
