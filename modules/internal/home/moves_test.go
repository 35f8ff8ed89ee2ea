package home

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cidx-cluster/modules/internal/hungtest"
	"cidx-cluster/modules/internal/repath"
)

// TestMovesKnowEverySpelling: whatever folder on the way is a link, a path is
// moved in every spelling that leads to the tree, before the cut-over and after.
func TestMovesKnowEverySpelling(t *testing.T) {
	const repo = "/golden-repos/billing"
	for name, c := range map[string]struct {
		links map[string]string // link below the root → where its folder lies
		say   string            // server_dir
		want  []string          // spellings of the base clone, below the root
	}{
		"no link":                   {nil, "", []string{"home/data" + repo}},
		"the home is a link":        {map[string]string{"home": "disk/cidx"}, "", []string{"home/data" + repo, "disk/cidx/data" + repo}},
		"data is a link":            {map[string]string{"home/data": "disk/data"}, "", []string{"home/data" + repo, "disk/data" + repo}},
		"the tree is a link":        {map[string]string{"home/data/golden-repos": "disk/repos"}, "", []string{"home/data" + repo, "disk/repos/billing"}},
		"the snapshots are a link":  {map[string]string{"home/data/golden-repos/.versioned": "disk/old"}, "", []string{"home/data" + repo, "home/data/golden-repos/.versioned/billing", "disk/old/billing"}},
		"home and data are links":   {map[string]string{"home": "a", "a/data": "b"}, "", []string{"home/data" + repo, "a/data" + repo, "b" + repo}},
		"the server has its own":    {map[string]string{"other": "home"}, "other", []string{"home/data" + repo, "other/data" + repo}},
		"another server's spelling": {nil, "elsewhere", []string{"home/data" + repo}},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			at := func(rel string) string { return filepath.Join(root, rel) }
			link := func(from, to string) {
				t.Helper()
				for _, dir := range []string{at(to), filepath.Dir(at(from))} {
					if err := os.MkdirAll(dir, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Symlink(at(to), at(from)); err != nil {
					t.Fatal(err)
				}
			}
			for _, from := range []string{"home", "other", "home/data", "a/data", "home/data/golden-repos", "home/data/golden-repos/.versioned"} {
				if to, ok := c.links[from]; ok {
					link(from, to)
				}
			}
			for _, dir := range []string{"home/data/golden-repos/aliases", "home/data/golden-repos/.versioned", "share/golden-repos", "elsewhere"} {
				if err := os.MkdirAll(at(dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			config := Config{Raw: []byte(`{"server_dir": "` + at(c.say) + `"}`)}
			if c.say == "" {
				config.Raw = nil
			}
			wantMoved := func(when string) {
				t.Helper()
				layout, err := Detect(at("home"), at("share"))
				if err != nil {
					t.Fatal(err)
				}
				moves := layout.Moves(config)
				for _, spelling := range c.want {
					got := repath.Rewrite(at(spelling), moves)
					if got != at("share"+repo) && got != at("share/golden-repos/.versioned/billing") {
						t.Errorf("%s: %s becomes %s", when, spelling, got)
					}
				}
				for _, foreign := range []string{"home/data/golden-repos-old/x", "disk/x", "share/golden-repos/x"} {
					if got := repath.Rewrite(at(foreign), moves); got != at(foreign) {
						t.Errorf("%s: %s becomes %s", when, foreign, got)
					}
				}
			}
			wantMoved("before the cut-over")
			tree := at("home/data/golden-repos")
			if err := os.Rename(tree, tree+PreCluster); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(at("share/golden-repos"), tree); err != nil {
				t.Fatal(err)
			}
			wantMoved("after the cut-over")
		})
	}
}

// A rollback and a resumed migration ask for the moves where the share, behind
// the links of the cut-over, may not answer.
func TestMovesDoNotFollowTheCutOversLinks(t *testing.T) {
	home, share := t.TempDir(), hungtest.Share(t)
	for _, name := range []string{"golden-repos", "activated-repos"} {
		link := filepath.Join(home, "data", name)
		if err := errors.Join(os.MkdirAll(link+PreCluster, 0o700), os.Symlink(filepath.Join(share, name), link)); err != nil {
			t.Fatal(err)
		}
	}
	found := make(chan map[string]string, 1)
	go func() {
		layout, err := Detect(home, share)
		if err != nil {
			t.Error(err)
		}
		found <- layout.Moves(Config{})
	}()
	select {
	case moves := <-found:
		if path := filepath.Join(home, "data/golden-repos/web"); repath.Rewrite(path, moves) != filepath.Join(share, "golden-repos/web") {
			t.Errorf("%v", moves)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the share was asked")
	}
}
