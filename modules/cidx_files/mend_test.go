package files

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPathsThatGitKeepsAreMendedInTheCopy(t *testing.T) {
	s := newServer(t)
	golden := s.path("data/golden-repos")
	s.command("git", "clone", "-q", "--shared", golden+"/flask", golden+"/shared")
	s.git("data/golden-repos/flask", "worktree", "add", "-q", golden+"/tree", "-b", "side")
	s.git("data/golden-repos/flask", "config", "core.worktree", golden+"/flask")
	s.git("data/activated-repos/ann@example.org/flask", "remote", "add", "golden", golden+"/flask")
	s.git("data/activated-repos/ann@example.org/flask", "remote", "add", "other", "file://"+golden+"/flask")
	s.git("data/activated-repos/ann@example.org/flask", "remote", "add", "away", "https://example.org/data/golden-repos/flask")
	s.do(os.Symlink(golden+"/flask/app.py", s.path(repo+"absolute")))
	s.do(os.Symlink("/srv/elsewhere", s.path(repo+"outside")))
	s.do(os.Symlink(golden+"-old/x", s.path(repo+"sibling")))
	before := snapshot(t, s.path("data"))
	r := s.must(phaseWarm)
	s.must(phaseDelta)
	mustMatch(t, before, snapshot(t, s.path("data")))

	// The copy has to work on a machine that has no source.
	s.do(os.Rename(s.path("data"), s.path("moved")))
	share := filepath.Join(s.share, "golden-repos")
	for _, name := range []string{"shared", "tree", "flask"} {
		if out := s.command("git", "-c", "safe.directory=*", "-C", filepath.Join(share, name), "log", "--oneline"); !strings.Contains(out, "first") {
			t.Errorf("%s: git log says %q", name, out)
		}
	}
	if got := strings.TrimSpace(s.command("git", "-C", filepath.Join(share, "flask"), "rev-parse", "--show-toplevel")); got != filepath.Join(share, "flask") {
		t.Errorf("core.worktree leads to %q", got)
	}
	config, err := os.ReadFile(filepath.Join(s.share, "activated-repos/ann@example.org/flask/.git/config"))
	s.do(err)
	for _, want := range []string{"url = " + share + "/flask\n", "url = file://" + share + "/flask\n", "url = https://example.org/data/golden-repos/flask\n"} {
		if !strings.Contains(string(config), want) {
			t.Errorf("configuration lacks %q:\n%s", want, config)
		}
	}
	for link, want := range map[string]string{"absolute": share + "/flask/app.py", "outside": "/srv/elsewhere", "sibling": golden + "-old/x"} {
		if got, err := os.Readlink(filepath.Join(share, "flask", link)); got != want {
			t.Errorf("link %s leads to %q (%v), want %q", link, got, err, want)
		}
	}
	if n := len(r.Data["mended"].([]mended)); n < 7 {
		t.Errorf("only %d mended paths are told: %v", n, r.Data["mended"])
	}
	warned := strings.Join(r.Warnings, "\n")
	for _, want := range []string{"outside", "sibling"} {
		if !strings.Contains(warned, want) {
			t.Errorf("warnings do not name %s: %s", want, warned)
		}
	}

	s.do(os.Rename(s.path("moved"), s.path("data")))
	copied := snapshot(t, s.share)
	if r := s.must(phaseDelta); r.Changed {
		t.Errorf("a second delta pass says changed: %v", r.Data["parts"])
	}
	a := s.args(phaseDelta)
	a.Compare = compareAll
	if r := s.mustArgs(a); len(r.Data["repaired"].([]string)) > 0 {
		t.Errorf("the comparison takes mended files for spoilt: %v", r.Data["repaired"])
	}
	mustMatch(t, copied, snapshot(t, s.share))
}

func TestMendContent(t *testing.T) {
	moves := map[string]string{"/old/repos": "/new/repos"}
	cases := map[string]struct{ kind, in, want string }{
		"a worktree's .git file":                {"gitdir", "gitdir: /old/repos/a/.git/worktrees/b\n", "gitdir: /new/repos/a/.git/worktrees/b\n"},
		"a relative .git file stays":            {"gitdir", "gitdir: ../a/.git\n", "gitdir: ../a/.git\n"},
		"a worktree's gitdir without a newline": {"worktree", "/old/repos/b/.git", "/new/repos/b/.git"},
		"alternates, one of two":                {"alternates", "/old/repos/a/.git/objects\n/srv/x\n", "/new/repos/a/.git/objects\n/srv/x\n"},
		"a comment in alternates stays":         {"alternates", "#/old/repos/a\n", "#/old/repos/a\n"},
		"a sibling with the same prefix stays":  {"alternates", "/old/repos-2/a\n", "/old/repos-2/a\n"},
		"a local remote":                        {"config", "[remote \"o\"]\n\turl = /old/repos/a\n\tfetch = +refs/*\n", "[remote \"o\"]\n\turl = /new/repos/a\n\tfetch = +refs/*\n"},
		"a quoted value and a comment":          {"config", "\tworktree = \"/old/repos/a b\" ; note\r\n", "\tworktree = \"/new/repos/a b\" ; note\r\n"},
		"a comment behind a plain value":        {"config", "\turl=/old/repos/a # /old/repos\n", "\turl=/new/repos/a # /old/repos\n"},
		"a value with escapes stays":            {"config", "\turl = \"/old/repos/a\\\"b\"\n", "\turl = \"/old/repos/a\\\"b\"\n"},
		"another key stays":                     {"config", "\tname = /old/repos/a\n", "\tname = /old/repos/a\n"},
		"ssh and https stay":                    {"config", "\turl = host:/old/repos/a\n\turl = https://h/old/repos/a\n", "\turl = host:/old/repos/a\n\turl = https://h/old/repos/a\n"},
		"section and variable in one line":      {"config", "[remote \"o\"] url = /old/repos/a\n", "[remote \"o\"] url = /new/repos/a\n"},
		"an included file":                      {"config", "[include]\n\tpath = /old/repos/a/x\n", "[include]\n\tpath = /new/repos/a/x\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, _ := mendContent(c.kind, []byte(c.in), moves)
			if string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if again, _ := mendContent(c.kind, got, moves); string(again) != string(got) {
				t.Errorf("a second time: %q", again)
			}
		})
	}
}

func TestPathsThatAreNotMendedAreListed(t *testing.T) {
	moves := map[string]string{"/old/repos": "/new/repos"}
	cases := map[string]struct {
		in   string
		want []string
	}{
		"a command":                      {"[alias]\n\tgo = !cd /old/repos/a && git status\n", []string{"go = !cd /old/repos/a && git status"}},
		"a condition":                    {"[includeIf \"gitdir:/old/repos/\"]\n", []string{"[includeIf \"gitdir:/old/repos/\"]"}},
		"a value with escapes":           {"\turl = \"/old/repos/a\\\"b\"\n", []string{"url = \"/old/repos/a\\\"b\""}},
		"a path out of the copy":         {"\turl = /srv/git/a\n", []string{"/srv/git/a"}},
		"a sibling in a command is none": {"\tgo = !cd /old/repos-2\n", nil},
		"a comment is none":              {"# /old/repos/a\n", nil},
		"a mended line is none":          {"\turl = /old/repos/a # was /old/repos/b\n", nil},
		"another machine's is none":      {"\turl = ssh://h/old/repos/a\n", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, got := mendContent("config", []byte(c.in), moves); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A snapshot made with cp -al shares git's configuration, too.
func TestHardLinkedFilesThatAreMendedBecomeFilesOfTheirOwn(t *testing.T) {
	s := newServer(t)
	config := "[remote \"golden\"]\n\turl = " + s.path("data/golden-repos/flask") + "\n"
	const versioned = "data/golden-repos/.versioned/flask/"
	names := map[string]string{ // what each name has to say on the share
		versioned + "v_1767312000/.git/modules/a/config": strings.ReplaceAll(config, s.path("data"), s.share),
		versioned + "v_1767312000/.git/modules/b/config": strings.ReplaceAll(config, s.path("data"), s.share),
		versioned + "v_1767312000/notes/config":          config,
		versioned + "v_1767312000/notes/zz":              config,
	}
	first := versioned + "v_1767312000/.git/modules/a/config"
	s.write(first, config)
	for rel := range names {
		if rel != first {
			s.mkdir(filepath.Dir(rel))
			s.do(os.Link(s.path(first), s.path(rel)))
		}
	}
	check := func() {
		t.Helper()
		for rel, want := range names {
			got, err := os.ReadFile(filepath.Join(s.share, strings.TrimPrefix(rel, "data/")))
			if err != nil || string(got) != want {
				t.Errorf("%s: %q, %v, want %q", rel, got, err, want)
			}
		}
		a, errA := os.Stat(filepath.Join(s.share, "golden-repos/.versioned/flask/v_1767312000/notes/config"))
		b, errB := os.Stat(filepath.Join(s.share, "golden-repos/.versioned/flask/v_1767312000/notes/zz"))
		if errA != nil || errB != nil || !os.SameFile(a, b) {
			t.Errorf("the names that need no mending are no longer one file: %v %v", errA, errB)
		}
	}
	s.must(phaseWarm)
	check()
	s.must(phaseDelta)
	check()
	a := s.args(phaseDelta)
	a.Compare = compareAll
	if r := s.mustArgs(a); len(r.Data["repaired"].([]string)) > 0 {
		t.Errorf("the comparison takes mended files for spoilt: %v", r.Data["repaired"])
	}
	check()
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
		mustMatch(t, want, got)
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
