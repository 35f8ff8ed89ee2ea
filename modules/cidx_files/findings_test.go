package files

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/mirror"
)

// spoil gives the source one of each loss that a copy can have.
func (s *server) spoil() {
	s.t.Helper()
	if err := unix.Lsetxattr(s.path(repo+"app.py"), "user.note", []byte("x"), 0); err != nil {
		s.t.Skipf("no extended attributes here: %v", err)
	}
	if os.Geteuid() == 0 { // cap_net_raw=ep, as of struct vfs_cap_data
		s.write(repo+"tool", "x")
		s.do(unix.Lsetxattr(s.path(repo+"tool"), "security.capability", []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	}
	s.do(os.Symlink("/srv/elsewhere", s.path(repo+"out\nside")))
	s.git(repo, "remote", "add", "disk", "/srv/git/x")
	s.do(os.Symlink(s.path(repo+"app.py"), s.path(repo+"inside")))
	s.write(repo+".git/index.lock", "")
	s.write(repo+"sub/x.db", "x")
}

// losses is what a reply tells of them.
func losses(t *testing.T, r ansible.Reply, phase string) string {
	t.Helper()
	var b strings.Builder
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "%q\n", w)
	}
	fmt.Fprintf(&b, "%q %v %q", r.Data["paths"], r.Data["left_out"], r.Data["sqlite"])
	counts := r.Data["lists"].(map[string]any)["golden-repos"].(map[string]any)
	list, err := os.ReadFile(counts["file"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"user.note", "/srv/elsewhere", "/srv/git/x", "index.lock", "inside", "x.db"} {
		if !strings.Contains(string(list), want) {
			t.Errorf("%s: the list does not name %s:\n%s", phase, want, list)
		}
	}
	if os.Geteuid() == 0 && !strings.Contains(string(list), "file capability") {
		t.Errorf("%s: the list does not name the capability:\n%s", phase, list)
	}
	return strings.ReplaceAll(b.String(), counts["file"].(string), "LIST")
}

// What an earlier run has found stands in the reply of every later one, though
// that looks only at what has changed.
func TestEveryLossIsToldInEveryRun(t *testing.T) {
	s := newServer(t)
	s.fillForFaults()
	s.spoil()
	r, err := s.run(s.args(phaseWarm), true)
	s.do(err)
	want := losses(t, r, "the rehearsal")
	if len(r.Warnings) != 3 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	if !s.interrupted(s.faultArgs(phaseWarm), 3, "kill -9 $PPID") {
		t.Fatal("not interrupted")
	}
	for _, phase := range []string{phaseWarm, phaseDelta, phaseDelta} {
		if got := losses(t, s.must(phase), phase); got != want {
			t.Errorf("%s tells\n%s\nwant\n%s", phase, got, want)
		}
	}
	// A loss that is mended at the source is told no more.
	s.do(unix.Lremovexattr(s.path(repo+"app.py"), "user.note"))
	s.git(repo, "remote", "remove", "disk")
	r = s.must(phaseDelta)
	if text := strings.Join(r.Warnings, "\n"); strings.Contains(text, "user.note") || strings.Contains(text, "/srv/git/x") {
		t.Errorf("warnings: %q", r.Warnings)
	}
}

func TestNoListIsCapped(t *testing.T) {
	const many = 3 * listed
	s := newServer(t)
	for i := range many {
		s.write(fmt.Sprintf("%s.git/refs/heads/%d.lock", repo, i), "")
		s.do(os.Symlink(fmt.Sprintf("/srv/%d", i), s.path(fmt.Sprintf("%slink%d", repo, i))))
		s.do(os.MkdirAll(filepath.Join(s.share, "golden-repos"), 0o755))
		s.do(os.WriteFile(filepath.Join(s.share, fmt.Sprintf("golden-repos/theirs%d", i)), nil, 0o644))
	}
	for i, check := range []bool{true, false, false} {
		r, err := s.run(s.args(phaseDelta), check)
		s.do(err)
		counts := r.Data["lists"].(map[string]any)["golden-repos"].(map[string]any)
		file := counts["file"].(string)
		if inState := strings.HasPrefix(file, string(home.Common{Home: s.home}.State())); inState == check {
			t.Errorf("check %v: the list is %s", check, file)
		}
		if _, err := os.Stat(s.path(".cluster-migrate")); check && err == nil {
			t.Error("the rehearsal wrote into the home")
		}
		want := map[string]int{"left_out": many, "outside": many, "foreign": many}
		if i > 0 { // the rehearsal tells what the run does
			delete(want, "foreign")
		}
		if i == 1 {
			want["aside"] = many
		}
		raw, err := os.ReadFile(file)
		s.do(err)
		for kind, n := range want {
			if counts[kind] != n {
				t.Errorf("check %v: %v of kind %s are counted, want %d", check, counts[kind], kind, n)
			}
		}
		if n := strings.Count(string(raw), "\n"); n < len(want)*many {
			t.Errorf("check %v: the list has %d lines, want %d", check, n, len(want)*many)
		}
		left := r.Data["left_out"].([]mirror.Omission)
		if len(left) != listed+1 || !strings.Contains(left[listed].Path, file) || !strings.Contains(left[listed].Path, fmt.Sprint(many)) {
			t.Errorf("check %v: %d are left out, the last %+v", check, len(left), left[len(left)-1])
		}
		if n := len(r.Warnings); n > 5 || !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, file) }) {
			t.Errorf("check %v: %d warnings, the last %q", check, n, r.Warnings[n-1])
		}
	}
}
