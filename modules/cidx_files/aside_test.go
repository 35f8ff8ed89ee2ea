package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
)

// Alias files on the share are cidx_aliases' own: no pass writes, moves or
// removes one, whatever becomes of the original, and every change of it shows.
func TestAliasFilesAreNoPartOfTheCopy(t *testing.T) {
	s := newServer(t)
	const alias = "golden-repos/aliases/flask-global.json"
	original := s.path("data/" + alias)
	s.do(os.MkdirAll(filepath.Join(s.share, "golden-repos/aliases"), 0o755))
	stale := filepath.Join(s.share, "golden-repos/aliases/removed-global.json")
	s.do(os.WriteFile(stale, []byte(`{"target_path": "/mnt/x"}`), 0o644))
	r, err := s.run(s.args(phaseWarm), true)
	s.do(err)
	if n := len(r.Data["foreign"].([]string)); n != 0 {
		t.Errorf("the rehearsal announces %v", r.Data["foreign"])
	}
	s.must(phaseDelta)
	if _, err := os.Lstat(filepath.Join(s.share, alias)); err == nil {
		t.Error("the alias file was copied")
	}
	s.do(os.WriteFile(filepath.Join(s.share, alias), []byte(`{"target_path": "/mnt/y"}`), 0o644))
	onShare := func() string {
		a, errA := os.ReadFile(filepath.Join(s.share, alias))
		b, errB := os.ReadFile(stale)
		return fmt.Sprintf("%s %s %v %v", a, b, errA, errB)
	}
	want := onShare()
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"nothing", func() {}},
		{"the original", func() { s.write("data/"+alias, `{"target_path": "`+s.home+`/data/golden-repos/.versioned/flask/v_1"}`) }},
		{"the original's time", func() { touch(t, original, modified(t, original).Add(time.Second)) }},
		{"no original", func() { s.do(os.Remove(original)) }},
	} {
		c.change()
		for _, compare := range []string{compareChanged, compareAll} {
			a := s.args(phaseDelta)
			a.Compare, a.SamplePercent = compare, 100
			r := s.mustArgs(a)
			if got := onShare(); got != want || len(r.Data["repaired"].([]string)) > 0 {
				t.Errorf("%s, compare %s: %s, want %s; repaired %v", c.name, compare, got, want, r.Data["repaired"])
			}
		}
	}
}

func TestAfterARollbackTheCopyBecomesTheSourceAgain(t *testing.T) {
	s := newServer(t)
	foreign := filepath.Join(s.share, "golden-repos/theirs.txt")
	s.do(os.MkdirAll(filepath.Dir(foreign), 0o755))
	s.do(os.WriteFile(foreign, []byte("theirs"), 0o644))
	s.must(phaseDelta)
	state := home.Common{Home: s.home}.State()
	s.do(journal.Append(state.Journal(), home.ConfigModule, home.ConfigDone, map[string]any{"state": home.ToCluster}))

	// The cluster refreshes a repository, without and with changed size and time.
	golden := filepath.Join(s.share, "golden-repos")
	app := filepath.Join(golden, "flask/app.py")
	info, err := os.Stat(app)
	s.do(err)
	s.do(os.WriteFile(app, []byte("print('OTHER')\n"), 0o644))
	touch(t, app, info.ModTime())
	s.do(os.WriteFile(filepath.Join(golden, "flask/.git/refs/heads/other"), []byte("0123\n"), 0o644))
	s.do(os.MkdirAll(filepath.Join(golden, ".versioned/flask/v_1800000000/deep"), 0o755))
	s.do(os.Remove(filepath.Join(golden, ".versioned/flask/v_1767312000/app.py")))

	r := s.must(phaseDelta)
	s.mustEqual()
	if n := len(r.Data["aside"].([]string)); n != 2 {
		t.Errorf("%d entries were moved aside, want 2: %v", n, r.Data["aside"])
	}
	for _, path := range r.Data["aside"].([]string) {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("moved aside: %v", err)
		}
	}
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a second delta pass says changed")
	}
}
