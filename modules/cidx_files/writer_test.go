package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/tree"
)

func TestWhoseEntriesCanBeCopied(t *testing.T) {
	user := &owners{uid: 1500, gids: []uint32{1500, 33}}
	cases := map[string]struct {
		owners   *owners
		uid, gid uint32
		want     bool
	}{
		"root copies anybody's":                     {nil, 7, 8, true},
		"a user's own":                              {user, 1500, 1500, true},
		"a user's own, of another group of his":     {user, 1500, 33, true},
		"a user's own, of a group that is not his":  {user, 1500, 34, false},
		"somebody else's":                           {user, 0, 1500, false},
		"of the service user, strictly its group":   {&owners{uid: 1500, gids: []uint32{1500}, name: "cidx"}, 1500, 1500, true},
		"of the service user, but of another group": {&owners{uid: 1500, gids: []uint32{1500}, name: "cidx"}, 1500, 33, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.owners.has(&tree.Entry{UID: c.uid, GID: c.gid}); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// A rehearsal says what a real run would refuse: how many, which, both ways out.
func TestEntriesThatWouldChangeTheirOwnerAreTold(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	s := newServer(t)
	c := &copier{args: s.args(phaseDelta), as: "nobody", check: true, settings: settings{plainFolder: true}}
	s.do(c.prepare(t.Context()))
	s.do(c.chooseWriter(t.Context()))
	err := c.lookAtAll(t.Context())
	if err == nil {
		t.Fatal("root's files pass for those of nobody")
	}
	for _, want := range []string{"root_squash", "entries would change their owner if nobody wrote them", s.path("data/golden-repos"), "(0:0)", "no_root_squash", "chown -hR 65534:65534 " + s.path("data/golden-repos")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal lacks %q: %v", want, err)
		}
	}
}

// A killed run leaves folders that are still root's alone; the service user, as
// whom the share is probed too, gets them at the end only.
func TestARunAfterAKilledOneProbesWhereTheServiceUserMayLook(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	s := newServer(t)
	s.command("chown", "-R", "nobody:nogroup", s.home)
	for dir := s.share; dir != os.TempDir(); dir = filepath.Dir(dir) {
		s.do(os.Chmod(dir, 0o755))
	}
	s.do(os.Mkdir(filepath.Join(s.share, "golden-repos"), 0o700))
	s.must(phaseWarm)
	s.must(phaseDelta)
	s.mustEqual()
}
