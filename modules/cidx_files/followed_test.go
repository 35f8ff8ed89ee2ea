package files

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// elsewhere moves something of the home to another disk and leaves a link.
func (s *server) elsewhere(rel string) (to string) {
	s.t.Helper()
	to = filepath.Join(filepath.Dir(s.share), "big", filepath.Base(rel))
	s.do(os.MkdirAll(filepath.Dir(to), 0o755))
	s.do(os.Rename(s.path(rel), to))
	s.do(os.Symlink(to, s.path(rel)))
	return to
}

// At each level between the home and a repository a link is followed, so that
// nothing is missing on the share, or refused by its name.
func TestLinksThatTheServerFollows(t *testing.T) {
	cases := map[string]struct {
		rel     string
		refused bool
	}{
		"data":                         {"data", false},
		"the tree of repositories":     {"data/golden-repos", false},
		"the tree of activations":      {"data/activated-repos", false},
		"the snapshots":                {"data/golden-repos/.versioned", false},
		"one repository's snapshots":   {"data/golden-repos/.versioned/flask", true},
		"one snapshot":                 {"data/golden-repos/.versioned/flask/v_1767312000", true},
		"a base clone":                 {"data/golden-repos/flask", true},
		"the aliases":                  {"data/golden-repos/aliases", true},
		"one alias":                    {"data/golden-repos/aliases/flask-global.json", true},
		"a user":                       {"data/activated-repos/ann@example.org", true},
		"an activation":                {"data/activated-repos/ann@example.org/flask", true},
		"the record of an activation":  {"data/activated-repos/ann@example.org/flask_metadata.json", true},
		"a folder inside a repository": {"data/golden-repos/flask/.code-indexer", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			want := map[string]map[string]string{}
			for _, tree := range []string{"golden-repos", "activated-repos"} {
				want[tree] = snapshot(t, s.path("data/"+tree))
			}
			to := s.elsewhere(c.rel)
			_, err := s.run(s.args(phaseWarm), true)
			if c.refused {
				problems := problem.Of(err)
				if len(problems) != 1 || problems[0].At != s.path(c.rel) || !strings.Contains(problems[0].What, filepath.Base(c.rel)+" is a symbolic link") || !strings.Contains(problems[0].Fix, "mv "+to+" ") {
					t.Errorf("problems: %v", err)
				}
				_, err = s.run(s.args(phaseWarm), false)
				mustSay(t, err, s.path(c.rel))
				if left, err := os.ReadDir(s.share); err != nil || len(left) > 0 {
					t.Errorf("on the share: %v, %v", left, err)
				}
				s.remedy(problems[0], "rm ")
				for tree, all := range want {
					mustMatch(t, withoutTimes(all), withoutTimes(snapshot(t, s.path("data/"+tree))))
				}
			} else if err != nil {
				t.Fatal(err)
			}
			s.must(phaseWarm)
			s.must(phaseDelta)
			for tree, all := range want {
				if name == "a folder inside a repository" {
					break // a link like any other, and told
				}
				mustMatch(t, withoutAliases(withoutTimes(all)), withoutTimes(snapshot(t, filepath.Join(s.share, tree))))
			}
			if r := s.must(phaseDelta); r.Changed {
				t.Error("a second delta pass says changed")
			}
		})
	}
}

// remedy types what a problem's fix says, up to the words that follow the
// command.
func (s *server) remedy(p problem.Problem, begin string) {
	s.t.Helper()
	_, command, ok := strings.Cut(p.Fix, begin)
	if !ok {
		s.t.Fatalf("no command in %q", p.Fix)
	}
	command, _, _ = strings.Cut(begin+command, " (")
	command, _, _ = strings.Cut(command, ";")
	if out, err := exec.Command("sh", "-ec", command).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", command, err, out)
	}
}

// withoutTimes are a snapshot's entries without the times of folders, which a
// link in one has changed.
func withoutTimes(all map[string]string) map[string]string {
	out := map[string]string{}
	for path, text := range all {
		if strings.HasPrefix(text, "4") {
			text = strings.Join(strings.Fields(text)[:2], " ")
		}
		out[path] = text
	}
	return out
}

func TestLinksInsideTheTreesAndToNothingAreNoProblem(t *testing.T) {
	s := newServer(t)
	s.do(os.Symlink("flask", s.path("data/golden-repos/current")))
	s.do(os.Symlink(s.path("data/golden-repos/flask"), s.path("data/golden-repos/absolute")))
	s.do(os.Symlink("../../flask", s.path("data/golden-repos/.versioned/flask/v_2")))
	s.do(os.Symlink("/nowhere", s.path("data/golden-repos/gone")))
	s.do(os.Symlink("README", s.path("data/golden-repos/read me")))
	_, err := s.run(s.args(phaseWarm), true)
	s.do(err)
	s.must(phaseDelta)
	for _, rel := range []string{"current", "absolute", ".versioned/flask/v_2"} {
		if _, err := os.Stat(filepath.Join(s.share, "golden-repos", rel, "app.py")); err != nil {
			t.Error(err)
		}
	}
}

func TestATreeThatIsALinkToNothingIsRefused(t *testing.T) {
	for _, rel := range []string{"data/activated-repos", "data/golden-repos/.versioned"} {
		s := newServer(t)
		s.do(os.RemoveAll(s.elsewhere(rel)))
		for _, check := range []bool{true, false} {
			_, err := s.run(s.args(phaseWarm), check)
			mustSay(t, err, s.path(rel)+": a symbolic link to")
		}
	}
}

// What the cut-over could not rename is found by the rehearsal; the remedy keeps
// the data.
func TestATreeThatCannotBeRenamedIsFound(t *testing.T) {
	cases := map[string]struct {
		rel  string
		what string
		do   string // shell, with the folder as $1
	}{
		"a mount":              {"data/golden-repos", "a mount of its own", `mv "$1" "$1.x" && mkdir "$1" && mount -t tmpfs own-disk "$1" && cp -a "$1.x/." "$1/"`},
		"another tree's mount": {"data/activated-repos", "a mount of its own", `mount --bind "$1" "$1"`},
		"a mount inside":       {"data/golden-repos/flask", "a mount (tmpfs", `mv "$1" "$1.x" && mkdir "$1" && mount -t tmpfs own-disk "$1" && cp -a "$1.x/." "$1/" && rm -r "$1.x"`},
		"immutable":            {"data/golden-repos", "immutable (chattr +i)", `chattr +i "$1"`},
		"append-only":          {"data", "append-only (chattr +a)", `chattr +a "$1"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			t.Setenv("TMPDIR", "/var/tmp") // chattr needs a disk
			s := newServer(t)
			if out, err := exec.Command("sh", "-ec", c.do, "sh", s.path(c.rel)).CombinedOutput(); err != nil {
				t.Skipf("cannot be made here: %v: %s", err, out)
			}
			t.Cleanup(func() {
				_ = exec.Command("chattr", "-ia", s.path(c.rel)).Run()
				for _, at := range []string{s.path(c.rel), s.path(c.rel) + "-disk"} {
					_ = unix.Unmount(at, unix.MNT_DETACH)
				}
			})
			before := snapshot(t, s.path("data/golden-repos"))
			_, err := s.run(s.args(phaseWarm), true)
			problems := problem.Of(err)
			if len(problems) != 1 || problems[0].At != s.path(c.rel) || !strings.Contains(problems[0].What, c.what) {
				t.Fatalf("problems: %v", err)
			}
			for _, begin := range []string{"cp -a", "mkdir", "chattr"} {
				if strings.Contains(problems[0].Fix, begin) {
					s.remedy(problems[0], begin)
					break
				}
			}
			s.must(phaseWarm)
			s.must(phaseDelta)
			mustMatch(t, withoutAliases(withoutTimes(before)), withoutTimes(snapshot(t, filepath.Join(s.share, "golden-repos"))))
			s.cutOver()
		})
	}
}

// cutOver renames the trees and links them to the share, as cidx_config does.
func (s *server) cutOver() {
	s.t.Helper()
	for _, name := range []string{"golden-repos", "activated-repos"} {
		link := s.path("data/" + name)
		s.do(os.Rename(link, link+home.PreCluster))
		s.do(os.Symlink(filepath.Join(s.share, name), link))
	}
}
