package files

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// interrupted runs a pass in a process of its own whose nth batch is done by
// half and then meets the fault, in shell: "kill -9 $PPID" or "exit 23". It
// reports whether there was such a batch.
func (s *server) interrupted(a args, nth int, fault string) bool {
	s.t.Helper()
	rsync, err := exec.LookPath("rsync")
	s.do(err)
	bin := s.t.TempDir()
	script := `#!/bin/bash
[ $# -gt 1 ] || exec ` + rsync + ` "$@"
exec 9>>` + bin + `/lock; flock 9
n=$(($(cat ` + bin + `/calls 2>/dev/null || echo 0) + 1)); echo $n > ` + bin + `/calls
exec 9>&-
[ $n = ` + strconv.Itoa(nth) + ` ] || exec ` + rsync + ` "$@"
mapfile -d '' -t names
printf '%s\0' "${names[@]:0:$(((${#names[@]} + 1) / 2))}" | ` + rsync + ` "$@"
: > ` + bin + `/done
` + fault + "\n"
	s.do(os.WriteFile(filepath.Join(bin, "rsync"), []byte(script), 0o755))
	cmd := s.victim(a, "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if _, missed := os.Stat(bin + "/done"); missed != nil {
		if err != nil {
			s.t.Fatalf("the copy failed: %v: %s", err, out)
		}
		return false
	}
	if err == nil && strings.Contains(fault, "kill") {
		s.t.Fatal("the copy went well although it was killed")
	}
	return true // a batch of one file is whole in spite of the error
}

// mutations are what a server or an operator does to the source between an
// interrupted copy and the next one.
var mutations = map[string]func(*server){
	"files are deleted, renamed and become something else, git collects garbage": func(s *server) {
		s.git(repo, "gc", "-q", "--prune=now")
		for i := range 20 {
			s.do(os.Remove(s.path(fmt.Sprintf("%sidx/%d.json", repo, 10+i*2))))
		}
		s.do(os.Rename(s.path(repo+"idx/1.json"), s.path(repo+"idx/x.json")))
		s.do(os.Remove(s.path(repo + "idx/3.json")))
		s.write(repo+"idx/3.json/x", "x")
		s.do(os.RemoveAll(s.path(repo + "deep")))
		s.write(repo+"deep", "x")
		s.do(os.Remove(s.path(repo + "idx/link")))
		s.mkdir(repo + "idx/link")
	},
	"folders and repositories are deleted and renamed, refs are packed": func(s *server) {
		s.git(repo, "pack-refs", "--all")
		s.do(os.RemoveAll(s.path(repo + "idx")))
		s.do(os.Rename(s.path(repo+"deep"), s.path(repo+"other")))
		s.do(os.RemoveAll(s.path("data/golden-repos/.versioned/flask")))
		s.do(os.RemoveAll(s.path("data/activated-repos/ann@example.org")))
	},
}

// fillForFaults makes a source that is copied in several batches.
func (s *server) fillForFaults() {
	for i := range 60 {
		s.write(fmt.Sprintf("%sidx/%d.json", repo, i), strings.Repeat("x", i))
		s.write(fmt.Sprintf("%sdeep/%d/%d.json", repo, i%7, i), strings.Repeat("y", i))
	}
	s.do(os.Symlink("1.json", s.path(repo+"idx/link")))
	s.git(repo, "branch", "side")
	s.git(repo, "tag", "v1")
}

func (s *server) faultArgs(phase string) args {
	a := s.args(phase)
	a.DeletePercent = 100
	return a
}

// begun makes the fault happen in the nth batch of a first copy, or of a delta
// after a warm one. It reports whether there was such a batch.
func (s *server) begun(delta bool, nth int, fault string) bool {
	s.t.Helper()
	a := s.faultArgs(phaseWarm)
	if delta {
		s.mustArgs(a)
		s.write(repo+"new/a/1", "x")
		for i := range 60 {
			s.write(fmt.Sprintf("%sidx/new%d", repo, i), "x")
			s.write(fmt.Sprintf("%sidx/%d.json", repo, i), "longer than it was: "+strings.Repeat("x", i))
			s.write(fmt.Sprintf("data/activated-repos/ann@example.org/flask/idx/%d", i), "x")
		}
		s.git(repo, "branch", "late")
		a.Phase = phaseDelta
	}
	return s.interrupted(a, nth, fault)
}

// What an interrupted copy has put on the share is known to be ours, wherever it
// ended, and whatever becomes of its source.
func TestWhatAnInterruptedCopyLeavesIsOurs(t *testing.T) {
	for word, fault := range map[string]string{"killed": "kill -9 $PPID", "rsync fails": "exit 23"} {
		for _, delta := range []bool{false, true} {
			for i, change := range slices.Sorted(maps.Keys(mutations)) {
				t.Run(fmt.Sprintf("%s, delta %v, %s", word, delta, change), func(t *testing.T) {
					t.Parallel()
					batches := 1 + i%2 // both kinds of change begin with another one, so that every batch is met
					for batches < 100 && resumes(t, delta, batches, fault, mutations[change]) {
						batches += 2
					}
					if batches < 3 {
						t.Errorf("the copy has only %d batches", batches-1)
					}
				})
			}
		}
	}
}

// resumes tries one fault; it reports whether there was such a batch.
func resumes(t *testing.T, delta bool, nth int, fault string, mutate func(*server)) bool {
	s := newServer(t)
	s.fillForFaults()
	if !s.begun(delta, nth, fault) {
		return false
	}
	mutate(s)
	r := s.mustArgs(s.faultArgs(phaseDelta))
	s.mustEqual()
	if list := r.Data["foreign"].([]string); len(list) > 0 {
		t.Errorf("foreign: %q", list)
	}
	if r := s.mustArgs(s.faultArgs(phaseDelta)); r.Changed {
		t.Error("a further pass says changed")
	}
	if t.Failed() {
		t.Fatalf("batch %d", nth)
	}
	return true
}

// What lay on the share before is compared, also where the operator has asked
// for no comparison: equal size and time prove nothing.
func TestContentOfOthersNeverCountsAsCopied(t *testing.T) {
	s := newServer(t)
	s.write(repo+"large", strings.Repeat("0123456789abcdef", 4<<20))
	for _, rel := range []string{"large", "app.py"} {
		path := filepath.Join(s.share, "golden-repos/flask", rel)
		s.do(os.MkdirAll(filepath.Dir(path), 0o755))
		content, err := os.ReadFile(s.path(repo + rel))
		s.do(err)
		content[5]++
		s.do(os.WriteFile(path, content, 0o644))
		touch(t, path, modified(t, s.path(repo+rel)))
	}
	a := s.args(phaseDelta)
	a.Compare = compareNone
	r := s.mustArgs(a)
	s.mustEqual()
	if told := r.Data["repaired"].([]string); len(told) != 2 {
		t.Errorf("repaired: %q", told)
	}
}
