package writer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/reach"
	"cidx-cluster/modules/internal/share"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
}

func nobody(t *testing.T) reach.Identity {
	t.Helper()
	u, err := reach.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// state is a state folder in the home of a user.
func state(t *testing.T, uid int) cidx.State {
	t.Helper()
	home := t.TempDir()
	if err := os.Chown(home, uid, -1); err != nil {
		t.Fatal(err)
	}
	return cidx.State(filepath.Join(home, ".cluster-migrate"))
}

func TestHandOverGivesWhatTheUserHasToWrite(t *testing.T) {
	needRoot(t)
	u := nobody(t)
	s := state(t, u.UID)
	if err := HandOver(s, u); err != nil { // makes the folders
		t.Fatal(err)
	}
	for _, path := range []string{s.Journal(), filepath.Join(s.Files(), "golden-repos.manifest"), filepath.Join(s.Aliases(), "a", "b-global.json"), s.Snapshot("x.db")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := HandOver(s, u); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		s.Journal(): u.UID, s.Files(): u.UID, filepath.Join(s.Files(), "golden-repos.manifest"): u.UID,
		filepath.Join(s.Aliases(), "a", "b-global.json"): u.UID, s.Snapshot("x.db"): 0,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
	if content, err := os.ReadFile(s.Journal()); err != nil || string(content) != "kept" {
		t.Errorf("the journal says %q, %v", content, err)
	}
	if who, ok, err := Recorded(s); err != nil || !ok || who.UID != u.UID {
		t.Errorf("recorded: %v, %v, %v", who, ok, err)
	}
}

func TestHandOverRefusesAStateFolderOfSomebodyElse(t *testing.T) {
	needRoot(t)
	err := HandOver(state(t, 12345), nobody(t))
	var problem cidx.Problem
	if !errors.As(err, &problem) || !strings.Contains(problem.What, "belongs to uid 12345") || !strings.Contains(problem.Fix, "no_root_squash") {
		t.Errorf("got %v", err)
	}
}

func TestChoose(t *testing.T) {
	needRoot(t)
	known, fresh := state(t, nobody(t).UID), state(t, nobody(t).UID)
	if err := HandOver(known, nobody(t)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		state  cidx.State
		looked share.Info
		wrote  share.Info
		want   string
		asked  bool
	}{
		"root has all rights":                            {fresh, share.Info{}, share.Info{}, "", false},
		"a look shows that only the user may write":      {fresh, share.Info{WriteAs: "cidx"}, share.Info{}, "cidx", false},
		"only writing shows it, and it was found before": {known, share.Info{}, share.Info{WriteAs: "cidx"}, "cidx", true},
		"it was found before, and is so no more":         {known, share.Info{}, share.Info{}, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked := false
			got, err := Choose(c.state, c.looked, func() (share.Info, error) { asked = true; return c.wrote, nil })
			if err != nil || got != c.want || asked != c.asked {
				t.Errorf("%q, asked %v, %v", got, asked, err)
			}
		})
	}
}
