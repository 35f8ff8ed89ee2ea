package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/mirror"
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
		if n := len(r.Data["paths"].([]mirror.Omission)); n != 7 {
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
