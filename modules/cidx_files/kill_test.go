package files

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/child"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/scratch"
)

// victim is the variable by which a test binary knows that it has to copy, so
// that its parent can kill it.
const victim = "CIDX_FILES_VICTIM"

func TestMain(m *testing.M) {
	child.Serve()
	if text := os.Getenv(victim); text != "" {
		var a args
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			panic(err)
		}
		if _, err := start(context.Background(), a, ansible.Mode{}, settings{mirror.Options{Window: 300}, true}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Durability is asked of the whole file system; on a disk that others write
	// to that takes seconds.
	if unix.Access("/dev/shm", unix.W_OK) == nil && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", "/dev/shm")
	}
	dir, err := os.MkdirTemp("", "helper")
	if err != nil {
		panic(err)
	}
	os.Setenv(scratch.HelperFolder, dir) // of lists after rehearsals
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// victim is a process that copies, with further variables in its environment.
func (s *server) victim(a args, environment ...string) *exec.Cmd {
	s.t.Helper()
	text, err := json.Marshal(a)
	s.do(err)
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), victim+"="+string(text)), environment...)
	return cmd
}

// killed copies in a process of its own and kills it after some time. It reports
// whether the process was killed before its end.
func (s *server) killed(a args, after time.Duration) bool {
	s.t.Helper()
	cmd := s.victim(a)
	words := &strings.Builder{}
	cmd.Stderr = words
	s.do(cmd.Start())
	time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	if err := cmd.Wait(); err == nil {
		return false
	}
	if cmd.ProcessState.ExitCode() == 1 {
		s.t.Fatalf("the copy failed: %s", words)
	}
	return true
}

func TestKilledAnywhereTheNextRunFinishes(t *testing.T) {
	s := newServer(t)
	for i := range 400 {
		s.write(fmt.Sprintf("%ssrc/%d/%d.json", repo, i%20, i), strings.Repeat("x", i*7))
	}
	s.write(repo+"large", strings.Repeat("0123456789abcdef", 5<<20))
	s.do(os.Link(s.path(repo+"src/1/1.json"), s.path("data/activated-repos/ann@example.org/flask/linked.json")))
	before := snapshot(t, s.path("data"))
	kills := 0
	for round := range 4 {
		s.do(os.RemoveAll(s.share))
		s.do(os.Mkdir(s.share, 0o755))
		a := s.args([]string{phaseWarm, phaseDelta}[round%2])
		a.Fsck = false
		for range 5 {
			if s.killed(a, time.Duration(10+rand.IntN(500))*time.Millisecond) {
				kills++
			}
			if round%2 == 1 {
				s.write(repo+"src/0/0.json", fmt.Sprint(rand.Int()))
				before = snapshot(t, s.path("data"))
			}
		}
		s.must(phaseDelta)
		s.mustEqual()
		if r := s.must(phaseDelta); r.Changed {
			t.Error("a further delta pass says changed")
		}
	}
	mustMatch(t, before, snapshot(t, s.path("data")))
	if kills < 4 {
		t.Errorf("only %d of 20 runs were killed: this machine is too fast for the test", kills)
	}
}

func TestAnInterruptedRunSaysSoAndIsContinued(t *testing.T) {
	s := newServer(t)
	s.write(repo+"large", strings.Repeat("0123456789abcdef", 5<<20))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.runWith(ctx, s.args(phaseDelta), false); err == nil {
		t.Error("a cancelled run ended without an error")
	}
	s.must(phaseDelta)
	s.mustEqual()
}

// onTmpfs puts the share on a file system of its own.
func (s *server) onTmpfs(options string) {
	s.t.Helper()
	if os.Geteuid() != 0 {
		s.t.Skip("mounting needs root")
	}
	if err := unix.Mount("cidx-test", s.share, "tmpfs", 0, options); err != nil {
		s.t.Skipf("cannot mount here: %v", err)
	}
	s.t.Cleanup(func() { _ = unix.Unmount(s.share, unix.MNT_DETACH) })
}

func TestAShareThatFillsUpIsToldAndContinued(t *testing.T) {
	cases := map[string]struct{ small, large string }{
		"no bytes left":  {"size=1m", "size=64m"},
		"no inodes left": {"size=64m,nr_inodes=150", "size=64m,nr_inodes=1000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.onTmpfs(c.small)
			for i := range 40 {
				s.write(fmt.Sprintf("%ssrc/%d", repo, i), strings.Repeat("x", 50_000))
			}
			// Told before anything is copied …
			s.refused(s.args(phaseDelta), "free space (or inodes)")
			if left, err := os.ReadDir(s.share); err != nil || len(left) > 0 {
				t.Errorf("on the share: %v, %v", left, err)
			}
			// … and in the middle, where a part of it was there already.
			s.do(os.MkdirAll(filepath.Join(s.share, "golden-repos"), 0o755))
			s.refused(s.args(phaseDelta), "free space (or inodes)")
			s.do(unix.Mount("cidx-test", s.share, "tmpfs", unix.MS_REMOUNT, c.large))
			s.must(phaseDelta)
			s.mustEqual()
		})
	}
}

func TestAReadOnlyShareIsToldAndContinued(t *testing.T) {
	s := newServer(t)
	s.onTmpfs("size=64m")
	s.must(phaseWarm)
	s.write(repo+"app.py", "changed")
	s.do(unix.Mount("cidx-test", s.share, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=64m"))
	s.refused(s.args(phaseDelta), "read-only")
	s.do(unix.Mount("cidx-test", s.share, "tmpfs", unix.MS_REMOUNT, "size=64m"))
	s.must(phaseDelta)
	s.mustEqual()
}

// Below a mount point lies a folder of the local disk; it must stay empty.
func TestAShareThatIsUnmountedInTheMiddleLeavesNothingOnTheLocalDisk(t *testing.T) {
	s := newServer(t)
	s.onTmpfs("size=64m")
	rsync, err := exec.LookPath("rsync")
	s.do(err)
	bin := t.TempDir()
	script := "#!/bin/sh\nif [ ! -e " + bin + "/ran ] && [ $# -gt 1 ]; then : > " + bin + "/ran; umount -l " + s.share + "; fi\nexec " + rsync + " \"$@\"\n"
	s.do(os.WriteFile(filepath.Join(bin, "rsync"), []byte(script), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	_, _ = s.run(s.args(phaseWarm), false) // it may notice, or finish where it has begun
	if _, err := os.Stat(filepath.Join(bin, "ran")); err != nil {
		t.Fatal("nothing was unmounted")
	}
	if left, err := os.ReadDir(s.share); err != nil || len(left) > 0 {
		t.Errorf("below the mount point: %v, %v", left, err)
	}
	for _, stray := range []string{"/golden-repos", "/activated-repos"} {
		if _, err := os.Lstat(stray); err == nil {
			t.Errorf("%s appeared", stray)
		}
	}
	s.onTmpfs("size=64m")
	s.must(phaseDelta)
	s.mustEqual()
}

func TestAPlainFolderIsRefused(t *testing.T) {
	s := newServer(t)
	_, err := start(context.Background(), s.args(phaseDelta), ansible.Mode{}, settings{})
	mustSay(t, err, "not a mount point")
	if left, err := os.ReadDir(s.share); err != nil || len(left) > 0 {
		t.Errorf("on the share: %v, %v", left, err)
	}
}
