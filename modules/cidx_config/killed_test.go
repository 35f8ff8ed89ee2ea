package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/hometest"
)

// killAt runs a request that dies before its n-th change, as by kill -9: no
// clean-up runs. It answers false when there is no n-th change.
func killAt(t *testing.T, h hometest.Home, state string, n int) (at string, died bool) {
	t.Helper()
	defer func() {
		if k, ok := recover().(killed); ok {
			at, died = k.at, true
		}
	}()
	seen := 0
	if state == home.ToCluster {
		h.Stand(t)
	}
	_, err := call(h, state, ansible.Mode{}, func(what string) {
		if seen == n {
			panic(killed{what})
		}
		seen++
	})
	must(t, err)
	return "", false
}

func TestKilledAnywhereItGoesOnOrGoesBack(t *testing.T) {
	for name, again := range map[string]bool{"the first migration": false, "a migration after a rollback": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killEverywhere(t, again)
		})
	}
}

func killEverywhere(t *testing.T, again bool) {
	h := ready(t)
	if again { // then config.json has to be switched as well
		to(t, h, home.ToCluster)
		to(t, h, home.ToStandalone)
	}
	standalone := homeNow(t, h)
	for n := 0; ; n++ {
		at, died := killAt(t, h, home.ToCluster, n)
		if !died {
			if n < 3 {
				t.Errorf("only %d moments to be killed at", n)
			}
			return
		}
		to(t, h, home.ToCluster)
		if !linked(h) {
			t.Errorf("killed before %q: not finished", at)
		}
		if reply := to(t, h, home.ToCluster); reply.Changed {
			t.Errorf("killed before %q: changes again: %v", at, reply.Data["plan"])
		}
		for m := 0; ; m++ {
			back, died := killAt(t, h, home.ToStandalone, m)
			to(t, h, home.ToStandalone)
			got := homeNow(t, h)
			delete(got, h.Path("config.json"))
			want := maps.Clone(standalone)
			delete(want, h.Path("config.json"))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("killed before %q, then back, killed before %q:\n%s", at, back, diff)
			}
			if !died {
				break
			}
			to(t, h, home.ToCluster)
		}
		if !again {
			h = ready(t)
			standalone = homeNow(t, h)
		}
	}
}

// What an earlier call has done is not undone by one that goes on and fails: the
// journal must not say that nothing was begun.
func TestACutOverThatGoesOnAndFailsIsNotForgotten(t *testing.T) {
	for _, end := range []string{home.ToCluster, home.ToStandalone} {
		t.Run("then to "+end, func(t *testing.T) {
			t.Parallel()
			h := ready(t)
			to(t, h, home.ToCluster)
			to(t, h, home.ToStandalone) // then config.json has to be switched as well
			for n := 0; ; n++ {
				at, died := killAt(t, h, home.ToCluster, n)
				if !died {
					break
				}
				h.Stand(t)
				late := false
				_, err := call(h, home.ToCluster, ansible.Mode{}, func(what string) {
					if !late && what != "write the journal" { // where it is found before the start
						late = true
						h.Write(t, "data/mfa_key.dat", fmt.Sprintf("another key %d\n", n))
					}
				})
				if late != (err != nil) {
					t.Errorf("killed before %q: %t, but %v", at, late, err)
				}
				if !late {
					to(t, h, home.ToStandalone)
					continue
				}
				standing, err := home.Common{Home: h.Dir}.Standing()
				must(t, err)
				_, err = os.Lstat(h.Path("data/golden-repos.pre-cluster"))
				if aside := err == nil; aside && standing.Begun != home.ToCluster || standing.Migrated() {
					t.Errorf("killed before %q: folders set aside %t, standing %q, %q", at, aside, standing.Begun, standing.Cutover)
				}
				to(t, h, end)
				if linked(h) != (end == home.ToCluster) {
					t.Errorf("killed before %q: not %s", at, end)
				}
				to(t, h, home.ToStandalone)
			}
		})
	}
}

// The moments inside a step, between two system calls.
func TestEveryIntermediateStateOfALinkIsFinishedOrUndone(t *testing.T) {
	states := map[string]func(t *testing.T, link string, target string){
		"the spare link is made":             func(t *testing.T, link, target string) { must(t, os.Symlink(target, link+".cidx-cluster.tmp")) },
		"the folder is renamed, no link yet": func(t *testing.T, link, target string) { must(t, os.Rename(link, link+".pre-cluster")) },
		"the folder is renamed, the spare made": func(t *testing.T, link, target string) {
			must(t, os.Rename(link, link+".pre-cluster"))
			must(t, os.Symlink(target, link+".cidx-cluster.tmp"))
		},
		"the link is in place": func(t *testing.T, link, target string) {
			must(t, os.Rename(link, link+".pre-cluster"))
			must(t, os.Symlink(target, link))
		},
	}
	for name, make := range states {
		for _, end := range []string{home.ToCluster, home.ToStandalone} {
			t.Run(name+", to "+end, func(t *testing.T) {
				t.Parallel()
				h := ready(t)
				before := homeNow(t, h)
				make(t, h.Path("data/golden-repos"), filepath.Join(h.Share, "golden-repos"))
				to(t, h, end)
				if end == home.ToCluster {
					if !linked(h) {
						t.Error("not finished")
					}
					if _, err := os.Lstat(h.Path("data/golden-repos.cidx-cluster.tmp")); err == nil {
						t.Error("the spare link is left")
					}
					to(t, h, home.ToStandalone)
				}
				got := homeNow(t, h)
				delete(got, h.Path("config.json"))
				delete(before, h.Path("config.json"))
				delete(got, h.Path("data/golden-repos.cidx-cluster.tmp")) // harmless, and gone with the next cut-over
				if diff := cmp.Diff(before, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestAFailedEditUndoesTheLinks(t *testing.T) {
	h := ready(t)
	to(t, h, home.ToCluster)
	to(t, h, home.ToStandalone)
	before := homeNow(t, h)
	// config.json cannot be replaced: something else sits at the temporary name.
	obstacle := h.Path(".config.json.cidx-cluster.tmp")
	must(t, os.MkdirAll(filepath.Join(obstacle, "x"), 0o700))
	h.Stand(t)
	reply, err := call(h, home.ToCluster, ansible.Mode{}, nil)
	if err == nil || reply.Changed {
		t.Errorf("error %v, changed %v", err, reply.Changed)
	}
	must(t, os.RemoveAll(obstacle))
	if diff := cmp.Diff(before, homeNow(t, h)); diff != "" {
		t.Error(diff)
	}
	to(t, h, home.ToCluster)
}
