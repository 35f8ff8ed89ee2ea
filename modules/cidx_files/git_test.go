package files

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestACloneIsCheckedAgainOnlyWhereGitReadsIt(t *testing.T) {
	cases := map[string]struct {
		change func(*server)
		want   int
	}{
		"nothing":                      {func(*server) {}, 0},
		"a fetch that brought nothing": {func(s *server) { s.write(repo+".git/FETCH_HEAD", "x") }, 0},
		"an index of CIDX's":           {func(s *server) { s.write(repo+".code-indexer/index/v/0a/new.json", "x") }, 0},
		"a file of the clone":          {func(s *server) { s.write(repo+"app.py", "x") }, 0},
		"a commit":                     {func(s *server) { s.git(repo, "commit", "-q", "--allow-empty", "-m", "second") }, 1},
		"a branch":                     {func(s *server) { s.git(repo, "branch", "other") }, 1},
		"packed refs":                  {func(s *server) { s.git(repo, "pack-refs", "--all") }, 1},
		"a detached HEAD":              {func(s *server) { s.git(repo, "checkout", "-q", "--detach") }, 1},
		"another configuration":        {func(s *server) { s.git(repo, "config", "x.y", "z") }, 1},
		"a clone in place of another": {func(s *server) {
			s.do(os.RemoveAll(s.path(repo + ".git")))
			s.git(repo, "init", "-q")
		}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			a := s.args(phaseDelta)
			a.DeletePercent = 100
			if n := len(s.mustArgs(a).Data["git"].([]gitCheck)); n != 1 {
				t.Fatalf("%d clones were checked at first", n)
			}
			c.change(s)
			if got := len(s.mustArgs(a).Data["git"].([]gitCheck)); got != c.want {
				t.Errorf("%d clones were checked again, want %d", got, c.want)
			}
		})
	}
}

func TestTheRehearsalTellsWhichClonesGitIsNotAskedAbout(t *testing.T) {
	s := newServer(t)
	s.do(os.Remove(s.path(repo + ".git/HEAD")))
	s.do(os.Symlink("/etc/hostname", s.path(repo+".git/HEAD")))
	const words = ".git/HEAD is a symbolic link: compared byte by byte, but not checked with git fsck"
	for _, check := range []bool{true, false} {
		r, err := s.run(s.args(phaseDelta), check)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, words) }) {
			t.Errorf("check %v: %q", check, r.Warnings)
		}
	}
}
