package files

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What others have put into the folders of the copy is moved aside, and the
// rehearsal has said so; nothing of it is lost.
func TestWhatOthersPutIntoTheFoldersOfTheCopyIsMovedAside(t *testing.T) {
	s := newServer(t)
	foreign := []string{
		"golden-repos/other/x", "golden-repos/flask/foreign.txt", "golden-repos/flask/.code-indexer/index/foreign/x", "golden-repos/aliases/removed-global.json",
		"golden-repos/flask/.git/refs/heads/stray", "golden-repos/.locks/flask.lock", "golden-repos/.write_mode/flask", "golden-repos/flask/.git/index.lock",
		"golden-repos/.versioned/removed/v_1/x", "activated-repos/bob/x/y", "activated-repos/.trash/y",
		"golden-repos/flask/app.py/x", "golden-repos/.versioned/flask", // in the way: a folder of a file, a file of a folder
	}
	elsewhere := []string{"cidx-data/x", "golden-repos/.snapshot/hourly/x", "theirs"}
	for _, rel := range append(foreign, elsewhere...) {
		s.do(os.MkdirAll(filepath.Dir(filepath.Join(s.share, rel)), 0o755))
		s.do(os.WriteFile(filepath.Join(s.share, rel), []byte("theirs: "+rel), 0o644))
	}
	before := snapshot(t, s.share)
	r, err := s.run(s.args(phaseWarm), true)
	s.do(err)
	mustMatch(t, before, snapshot(t, s.share))
	announced := r.Data["foreign"].([]string)
	if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "the migration moves them to "+s.share+"/.cidx-aside") }) {
		t.Errorf("warnings: %q", r.Warnings)
	}
	r = s.must(phaseWarm)
	var moved []string
	for _, path := range r.Data["aside"].([]string) {
		below, _ := filepath.Rel(filepath.Join(s.share, ".cidx-aside"), path)
		_, below, _ = strings.Cut(below, "/")
		_, below, _ = strings.Cut(below, "/")
		moved = append(moved, below)
	}
	for _, path := range announced {
		_, below, _ := strings.Cut(strings.TrimPrefix(path, s.share+"/"), "/")
		below = strings.TrimPrefix(below, ".versioned/")
		if !slices.Contains(moved, below) {
			t.Errorf("%s was announced and not moved: %q", below, moved)
		}
	}
	if len(moved) != len(announced) || len(moved) != len(foreign) {
		t.Errorf("announced %q, moved %q", announced, moved)
	}
	aside := ""
	for _, text := range snapshot(t, filepath.Join(s.share, ".cidx-aside")) {
		aside += text
	}
	for _, rel := range foreign {
		if !strings.Contains(aside, "theirs: "+rel+`"`) {
			t.Errorf("%s is not in .cidx-aside", rel)
		}
	}
	for _, rel := range elsewhere {
		if content, err := os.ReadFile(filepath.Join(s.share, rel)); err != nil || string(content) != "theirs: "+rel {
			t.Errorf("%s: %q, %v", rel, content, err)
		}
	}
	s.must(phaseDelta)
	s.do(os.RemoveAll(filepath.Join(s.share, "golden-repos/.snapshot")))
	touch(t, filepath.Join(s.share, "golden-repos"), modified(t, s.path("data/golden-repos")))
	s.mustEqual()
	r = s.must(phaseDelta)
	if r.Changed || len(r.Data["aside"].([]string)) > 0 {
		t.Errorf("a further pass: changed %v, aside %v", r.Changed, r.Data["aside"])
	}
}

func TestWhatOthersLeaveInAFolderThatIsGoneIsMovedAside(t *testing.T) {
	s := newServer(t)
	s.must(phaseWarm)
	s.do(os.WriteFile(filepath.Join(s.share, "golden-repos/flask/.code-indexer/index/theirs"), []byte("theirs"), 0o644))
	s.do(os.RemoveAll(s.path(repo + ".code-indexer")))
	r := s.must(phaseDelta)
	s.mustEqual()
	aside := r.Data["aside"].([]string)
	if len(aside) != 1 {
		t.Fatalf("aside: %q", aside)
	}
	if content, err := os.ReadFile(filepath.Join(aside[0], "theirs")); err != nil || string(content) != "theirs" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestAFileInThePlaceOfATreeOnTheShareIsRefused(t *testing.T) {
	s := newServer(t)
	s.do(os.WriteFile(filepath.Join(s.share, "golden-repos"), []byte("theirs"), 0o644))
	for _, check := range []bool{true, false} {
		_, err := s.run(s.args(phaseWarm), check)
		mustSay(t, err, "not a folder")
	}
}

func TestACopyMadeByOthersIsTakenOver(t *testing.T) {
	s := newServer(t)
	s.command("rsync", "-aH", s.path("data/golden-repos"), s.path("data/activated-repos"), s.share+"/")
	// One file is torn, and one differs although size and mtime agree.
	torn, spoilt := filepath.Join(s.share, "golden-repos/flask/app.py"), filepath.Join(s.share, "golden-repos/flask/.code-indexer/index/v/0a/1b/vector_1.json")
	s.do(os.Truncate(torn, 3))
	info, err := os.Stat(spoilt)
	s.do(err)
	s.do(os.WriteFile(spoilt, []byte(`{"v": [9, 9, 9]}`), 0o644))
	touch(t, spoilt, info.ModTime())
	r := s.must(phaseDelta)
	s.mustEqual()
	part := r.Data["parts"].(map[string]any)["golden-repos"].(map[string]any)
	if n := part["copied_files"].(int64); n > 3 {
		t.Errorf("%d files were copied again", n)
	}
	if told := r.Data["repaired"].([]string); len(told) != 1 || !strings.Contains(told[0], "vector_1.json") {
		t.Errorf("repaired: %v", told)
	}
}
