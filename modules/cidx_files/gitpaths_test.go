package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
)

// Repositories are copied byte for byte. What git and links keep of absolute
// paths is told, by kind and repository, and works once the folders have moved.
func TestPathsThatGitKeepsAreCopiedAndTold(t *testing.T) {
	s := newServer(t)
	golden := s.path("data/golden-repos")
	s.command("git", "clone", "-q", "--shared", golden+"/flask", golden+"/shared")
	s.git("data/golden-repos/flask", "worktree", "add", "-q", golden+"/tree", "-b", "side")
	s.git("data/golden-repos/flask", "config", "core.worktree", golden+"/flask")
	s.git("data/activated-repos/ann@example.org/flask", "remote", "add", "golden", "file://"+golden+"/flask")
	s.git("data/golden-repos/flask", "remote", "add", "away", "https://example.org/data/golden-repos/flask")
	s.do(os.Symlink(golden+"/flask/app.py", s.path(repo+"absolute")))
	s.do(os.Symlink("/srv/elsewhere", s.path(repo+"outside")))
	s.write("data/golden-repos/shared/.git/objects/info/alternates", golden+"/flask/.git/objects\n/srv/objects\n")
	before := snapshot(t, s.path("data"))
	rehearsed, err := s.run(s.args(phaseWarm), true)
	s.do(err)
	r := s.must(phaseWarm)
	s.must(phaseDelta)
	mustMatch(t, before, snapshot(t, s.path("data")))
	copied := snapshot(t, s.share)
	delete(before, ".")
	delete(copied, ".")
	mustMatch(t, withoutAliases(before), copied)
	for what, r := range map[string]ansible.Reply{"the rehearsal": rehearsed, "the copy": r} {
		warned := strings.Join(r.Warnings, "\n")
		for _, want := range []string{
			golden + ": 2 paths point out of the copied folders", "/srv/elsewhere", "shared 1", golden + ": 6 absolute paths lead into",
			"git's alternates 1", "git's worktree 1", "symbolic link 1", s.path("data/activated-repos") + ": 1 absolute path leads into", "(ann@example.org/flask 1)",
		} {
			if !strings.Contains(warned, want) {
				t.Errorf("%s does not tell %q: %s", what, want, warned)
			}
		}
		if n := len(r.Data["paths"].([]leftOut)); n != 7 {
			t.Errorf("%s: %d paths are told: %v", what, n, r.Data["paths"])
		}
	}
	// After the cut-over there is a link where each folder was.
	s.do(os.Rename(golden, golden+".pre-cluster"))
	s.do(os.Symlink(filepath.Join(s.share, "golden-repos"), golden))
	for _, name := range []string{"shared", "tree", "flask"} {
		if out := s.command("git", "-c", "safe.directory=*", "-C", filepath.Join(s.share, "golden-repos", name), "log", "--oneline"); !strings.Contains(out, "first") {
			t.Errorf("%s: git log says %q", name, out)
		}
	}
}

func TestAbsolutePathsInGitFiles(t *testing.T) {
	moves := map[string]string{"/old/repos": "/new/repos"}
	const a = "/old/repos/a"
	cases := map[string]struct{ kind, in, inside, outside string }{
		"a worktree's .git file":                {"gitdir", "gitdir: /old/repos/a/.git/worktrees/b\n", a + "/.git/worktrees/b", ""},
		"a relative .git file":                  {"gitdir", "gitdir: ../a/.git\n", "", ""},
		"a worktree's gitdir without a newline": {"worktree", "/old/repos/b/.git", "/old/repos/b/.git", ""},
		"alternates, one of two":                {"alternates", a + "\n/srv/x\n", a, "/srv/x"},
		"a comment in alternates":               {"alternates", "#/old/repos/a\n", "", ""},
		"a sibling with the same prefix":        {"alternates", "/old/repos-2/a\n", "", "/old/repos-2/a"},
		"a local remote":                        {"config", "[remote \"o\"]\n\turl = /old/repos/a\n\tfetch = +refs/*\n", a, ""},
		"a remote by URL":                       {"config", "\turl = file:///old/repos/a\n", "file://" + a, ""},
		"a quoted value and a comment":          {"config", "\tworktree = \"/old/repos/a b\" ; note\r\n", a + " b", ""},
		"a comment behind a plain value":        {"config", "\turl=/old/repos/a # was /old/repos/b\n", a, ""},
		"another key":                           {"config", "\tname = /old/repos/a\n", "name = " + a, ""},
		"ssh and https":                         {"config", "\turl = host:/old/repos-2/a\n\turl = https://h/old/a\n", "", ""},
		"section and variable in one line":      {"config", "[remote \"o\"] url = /old/repos/a\n", a, ""},
		"an included file":                      {"config", "[include]\n\tpath = /old/repos/a\n", a, ""},
		"a command":                             {"config", "[alias]\n\tgo = !cd /old/repos/a && git status\n", "go = !cd /old/repos/a && git status", ""},
		"a condition":                           {"config", "[includeIf \"gitdir:/old/repos/\"]\n", "[includeIf \"gitdir:/old/repos/\"]", ""},
		"a value with escapes":                  {"config", "\turl = \"/old/repos/a\\\"b\"\n", "url = \"/old/repos/a\\\"b\"", ""},
		"a path out of the copy":                {"config", "\turl = /srv/git/a\n", "", "/srv/git/a"},
		"a sibling in a command":                {"config", "\tgo = !cd /old/repos-2\n", "", ""},
		"a comment":                             {"config", "# /old/repos/a\n", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inside, outside := gitPaths(c.kind, []byte(c.in), moves)
			if got := strings.Join(inside, "|"); got != c.inside {
				t.Errorf("inside: got %q, want %q", got, c.inside)
			}
			if got := strings.Join(outside, "|"); got != c.outside {
				t.Errorf("outside: got %q, want %q", got, c.outside)
			}
		})
	}
}

func TestHardLinksAreKeptAcrossParts(t *testing.T) {
	s := newServer(t)
	s.do(os.RemoveAll(s.path("data/activated-repos/ann@example.org/flask")))
	s.command("git", "clone", "-q", "--local", s.path("data/golden-repos/flask"), s.path("data/activated-repos/ann@example.org/flask"))
	s.git("data/activated-repos/ann@example.org/flask", "remote", "remove", "origin")
	for _, rel := range []string{"data/golden-repos/.versioned/flask/v_1767312000/two", "data/activated-repos/ann@example.org/three"} {
		s.do(os.Link(s.path(repo+"app.py"), s.path(rel)))
	}
	want := snapshot(t, s.path("data"))
	a := s.args(phaseWarm)
	for _, part := range []string{"versioned", "golden-repos", "activated-repos"} {
		a.Parts = []string{part} // each alone, as the steps of a playbook do
		s.mustArgs(a)
	}
	equal := func() {
		got := snapshot(t, s.share)
		delete(got, ".")
		delete(want, ".")
		mustMatch(t, withoutAliases(want), got)
	}
	equal()
	for _, part := range []string{"golden-repos", "versioned", "activated-repos"} {
		a.Phase, a.Parts = phaseDelta, []string{part}
		s.mustArgs(a)
	}
	equal()
	s.write(repo+"app.py", "changed under all its names")
	want = snapshot(t, s.path("data"))
	for _, part := range []string{"golden-repos", "versioned", "activated-repos"} {
		a.Parts = []string{part}
		s.mustArgs(a)
	}
	equal()
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a further delta pass says changed")
	}
}
