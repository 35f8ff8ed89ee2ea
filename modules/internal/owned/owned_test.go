package owned

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/problem"
)

// What an earlier release wrote as root, the server's user cannot go on with.
func TestAStateFolderOfSomebodyElseIsNamedWithTheWayOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving files away needs root")
	}
	state := filepath.Join(t.TempDir(), "a state")
	must(t, os.MkdirAll(filepath.Join(state, "report"), 0o700))
	wants(t, state, 65534, "chown -hR nobody: '"+state+"'")
	wants(t, state, 0)
	must(t, os.Lchown(state, 65534, -1))
	wants(t, state, 65534, "/report does not belong to nobody")
}

func TestLinksInTheStateFolderAreNamedAsLinks(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	must(t, os.MkdirAll(filepath.Join(state, "report"), 0o700))
	must(t, os.Symlink("/etc/shadow", filepath.Join(state, "journal.jsonl")))
	must(t, os.Symlink("nowhere", filepath.Join(state, "report/report.json")))
	want := "rm " + state + "/journal.jsonl " + state + "/report/report.json"
	wants(t, state, os.Geteuid(), want)
	link := filepath.Join(dir, "disk")
	must(t, os.Symlink(state, link))
	wants(t, link, os.Geteuid(), want)
}

func TestAStateFolderWithoutProblems(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	wants(t, state, os.Geteuid())
	must(t, os.MkdirAll(filepath.Join(state, "report"), 0o700))
	link := filepath.Join(dir, "disk")
	must(t, os.Symlink(state, link)) // on another disk
	wants(t, link, os.Geteuid())
}

// wants has one problem for each text, in which the text stands.
func wants(t *testing.T, state string, uid int, texts ...string) {
	t.Helper()
	problems, err := State(state, uid)
	must(t, err)
	said(t, problems, texts)
}

func said(t *testing.T, problems problem.List, texts []string) {
	t.Helper()
	if len(problems) != len(texts) {
		t.Fatalf("got %v", problems)
	}
	for i, text := range texts {
		if !strings.Contains(problems[i].Error(), text) {
			t.Errorf("got %v, want %q", problems[i], text)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
