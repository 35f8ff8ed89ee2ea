package git

import (
	"strings"
	"testing"
)

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
