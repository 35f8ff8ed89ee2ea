package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
	"cidx-cluster/modules/internal/problem"
)

// The server's user must reach the files; the cut-over, which is made by that
// user, sees with its rights.
func TestTheServiceUserMustReachTheFiles(t *testing.T) {
	var h hometest.Home
	if reply, is := hometest.Nobody(t, &h); is {
		_, err := call(h, home.ToCluster, ansible.Mode{}, nil)
		reply("said: " + problem.Of(err).Error())
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	h = ready(t)
	h.GiveAway(t)
	h.Stand(t) // the record tells of owners, too
	h.GiveAway(t)
	web := filepath.Join(h.Share, "golden-repos/web")
	must(t, os.Lchown(web, 12345, 12345))
	must(t, os.Chmod(web, 0o000))
	problems := strings.Split(hometest.AsNobody(t, h), "\n")
	if len(problems) != 3 { // the repository, its alias, its global row
		t.Errorf("got %q", problems)
	}
	for _, p := range problems {
		if !strings.Contains(p, "web") || !strings.Contains(p, "user nobody cannot reach it") {
			t.Errorf("got %q", p)
		}
	}
	if linked(h) {
		t.Error("the cut-over happened")
	}
	must(t, os.Lchown(web, 65534, 65534))
	must(t, os.Chmod(web, 0o700))
	if said := hometest.AsNobody(t, h); said != "said: " || !linked(h) {
		t.Errorf("with the rights it needs: %q", said)
	}
}
