package config

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
)

// config.json, or the folder in which it is replaced, cannot be changed: both
// directions say so before anything is touched, with a remedy that works.
func TestAConfigurationThatCannotBeReplacedIsFoundBeforeAnythingIsTouched(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount and to set attributes")
	}
	attribute := func(letter, name string) func(t *testing.T, h hometest.Home) (func(), string) {
		return func(t *testing.T, h hometest.Home) (func(), string) {
			if out, err := exec.Command("chattr", "+"+letter, h.Path(name)).CombinedOutput(); err != nil {
				t.Skipf("this file system has no attributes: %v: %s", err, out)
			}
			return func() { must(t, exec.Command("chattr", "-"+letter, h.Path(name)).Run()) }, "chattr +" + letter
		}
	}
	mount := func(name string) func(t *testing.T, h hometest.Home) (func(), string) {
		return func(t *testing.T, h hometest.Home) (func(), string) {
			raw, err := os.ReadFile(h.Path(name))
			must(t, err)
			h.Write(t, name+".source", string(raw))
			if err := unix.Mount(h.Path(name+".source"), h.Path(name), "", unix.MS_BIND, ""); err != nil {
				t.Skipf("no mounts here: %v", err)
			}
			return func() { must(t, unix.Unmount(h.Path(name), 0)) }, "a mount of its own"
		}
	}
	cases := map[string]func(t *testing.T, h hometest.Home) (func(), string){
		"a bind mount":                            mount("config.json"),
		"a bind mount of the standalone version":  mount("config.json.pre-cluster"),
		"immutable":                               attribute("i", "config.json"),
		"append-only":                             attribute("a", "config.json"),
		"an immutable standalone version":         attribute("i", "config.json.pre-cluster"),
		"an immutable folder":                     attribute("i", "."),
		"a link to a file that cannot be changed": linked2Immutable,
	}
	for name, spoil := range cases {
		for _, state := range []string{home.ToCluster, home.ToStandalone} {
			t.Run(name+", to "+state, func(t *testing.T) {
				h := ready(t)
				if state == home.ToStandalone {
					to(t, h, home.ToCluster)
				}
				undo, what := spoil(t, h)
				before := hometest.Snapshot(t, h.Dir, h.Share)
				for _, check := range []bool{true, false} {
					if _, err := call(h, state, ansible.Mode{Check: check}, nil); err == nil || !strings.Contains(err.Error(), what) {
						t.Errorf("got %v, want %q", err, what)
					}
				}
				if diff := cmp.Diff(before, hometest.Snapshot(t, h.Dir, h.Share)); diff != "" {
					t.Error(diff)
				}
				undo()
				to(t, h, state)
			})
		}
	}
}

func linked2Immutable(t *testing.T, h hometest.Home) (func(), string) {
	real := h.Path("of-the-operator/config.json")
	must(t, os.MkdirAll(h.Path("of-the-operator"), 0o755))
	must(t, os.Rename(h.Path("config.json"), real))
	must(t, os.Symlink(real, h.Path("config.json")))
	if out, err := exec.Command("chattr", "+i", real).CombinedOutput(); err != nil {
		t.Skipf("this file system has no attributes: %v: %s", err, out)
	}
	return func() { must(t, exec.Command("chattr", "-i", real).Run()) }, "chattr +i"
}

// A tree that the kernel does not let be renamed: nothing changes, and the remedy
// does not take the data away.
func TestATreeThatCannotBeRenamedKeepsItsData(t *testing.T) {
	h := ready(t)
	link := h.Path("data/golden-repos")
	if err := unix.Mount(link, link, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("no mounts here: %v", err)
	}
	defer func() { must(t, unix.Unmount(link, unix.MNT_DETACH)) }()
	h.Stand(t)
	before := homeNow(t, h)
	_, err := call(h, home.ToCluster, ansible.Mode{}, nil)
	if err == nil || !strings.Contains(err.Error(), "do not unmount it") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, homeNow(t, h)); diff != "" {
		t.Error(diff)
	}
}
