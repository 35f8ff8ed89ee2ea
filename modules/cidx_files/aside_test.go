package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
)

// rewriteAlias does what cidx_aliases does on the share.
func (s *server) rewriteAlias() {
	s.t.Helper()
	path := filepath.Join(s.share, "golden-repos/aliases/flask-global.json")
	info, err := os.Stat(path)
	s.do(err)
	text, err := os.ReadFile(path)
	s.do(err)
	s.do(os.WriteFile(path, []byte(strings.ReplaceAll(string(text), s.home+"/data", s.share)), 0o644))
	touch(s.t, path, info.ModTime())
}

func TestRewrittenAliasesAreNoDamage(t *testing.T) {
	s := newServer(t)
	s.must(phaseDelta)
	s.rewriteAlias()
	before := snapshot(t, s.share)
	for _, compare := range []string{compareChanged, compareAll} {
		a := s.args(phaseDelta)
		a.Compare, a.SamplePercent = compare, 100
		r := s.mustArgs(a)
		if told := r.Data["repaired"].([]string); len(told) > 0 || len(r.Warnings) > 0 {
			t.Errorf("compare %s: repaired %v, warnings %v", compare, told, r.Warnings)
		}
		if r.Changed {
			t.Errorf("compare %s says changed", compare)
		}
		mustMatch(t, before, snapshot(t, s.share))
	}
}

func TestAnAliasThatChangedAfterwardsIsCopiedAgain(t *testing.T) {
	s := newServer(t)
	s.must(phaseDelta)
	s.rewriteAlias()
	s.write("data/golden-repos/aliases/flask-global.json", `{"target_path": "`+s.home+`/data/golden-repos/.versioned/flask/v_1767312000"}`)
	s.must(phaseDelta)
	s.mustEqual()
}

func TestAfterARollbackTheCopyBecomesTheSourceAgain(t *testing.T) {
	s := newServer(t)
	foreign := filepath.Join(s.share, "golden-repos/theirs.txt")
	s.do(os.MkdirAll(filepath.Dir(foreign), 0o755))
	s.do(os.WriteFile(foreign, []byte("theirs"), 0o644))
	s.must(phaseDelta)
	state := cidx.Common{Home: s.home}.State()
	s.do(journal.Append(state.Journal(), cidx.ConfigModule, cidx.ConfigDone, map[string]any{"state": cidx.ToCluster}))

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
