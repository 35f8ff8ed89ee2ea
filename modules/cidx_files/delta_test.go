package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/mirror"
)

const repo = "data/golden-repos/flask/"

func TestDeltaFollowsEveryKindOfChange(t *testing.T) {
	cases := map[string]func(*testing.T, *server){
		"a file grows": func(t *testing.T, s *server) { s.write(repo+"app.py", "print('hello world')\n") },
		"a rewrite of the same size keeps the mtime": func(t *testing.T, s *server) {
			info, err := os.Stat(s.path(repo + "app.py"))
			s.do(err)
			s.write(repo+"app.py", "print('HELLO')\n")
			touch(t, s.path(repo+"app.py"), info.ModTime())
		},
		"a rename over the file keeps size and mtime": func(t *testing.T, s *server) {
			info, err := os.Stat(s.path(repo + "app.py"))
			s.do(err)
			s.write(repo+"new.py", "print('HELLO')\n")
			touch(t, s.path(repo+"new.py"), info.ModTime())
			s.do(os.Rename(s.path(repo+"new.py"), s.path(repo+"app.py")))
		},
		"only the mode changes":           func(t *testing.T, s *server) { s.do(os.Chmod(s.path(repo+"app.py"), 0o755)) },
		"a folder's mode and time change": func(t *testing.T, s *server) { s.do(os.Chmod(s.path(repo), 0o2750)) },
		"a folder's time alone changes":   func(t *testing.T, s *server) { touch(t, s.path(repo), time.Unix(1_600_000_000, 123456789)) },
		"a file is removed":               func(t *testing.T, s *server) { s.do(os.Remove(s.path(repo + "app.py"))) },
		"a folder is removed":             func(t *testing.T, s *server) { s.do(os.RemoveAll(s.path(repo + ".code-indexer"))) },
		"a folder is renamed":             func(t *testing.T, s *server) { s.do(os.Rename(s.path(repo), s.path("data/golden-repos/django"))) },
		"a file becomes a folder":         func(t *testing.T, s *server) { s.do(os.Remove(s.path(repo + "app.py"))); s.write(repo+"app.py/x", "x") },
		"a file becomes a link": func(t *testing.T, s *server) {
			s.do(os.Remove(s.path(repo + "app.py")))
			s.do(os.Symlink("x", s.path(repo+"app.py")))
		},
		"a folder becomes a file": func(t *testing.T, s *server) {
			s.do(os.RemoveAll(s.path(repo + ".code-indexer")))
			s.write(repo+".code-indexer", "x")
		},
		"a folder becomes a link": func(t *testing.T, s *server) {
			s.do(os.RemoveAll(s.path(repo + ".code-indexer")))
			s.do(os.Symlink("x", s.path(repo+".code-indexer")))
		},
		"a link changes its target": func(t *testing.T, s *server) {
			s.do(os.Remove(s.path(repo + "link")))
			s.do(os.Symlink("elsewhere", s.path(repo+"link")))
		},
		"a folder is added": func(t *testing.T, s *server) { s.write(repo+"new/deep/er/x", "x"); s.mkdir(repo + "empty/er") },
		"a snapshot is added, one removed": func(t *testing.T, s *server) {
			s.command("cp", "-a", s.path("data/golden-repos/flask"), s.path("data/golden-repos/.versioned/flask/v_1767312001"))
			s.do(os.RemoveAll(s.path("data/golden-repos/.versioned/flask/v_1767312000")))
		},
		"a file becomes a hard link of another": func(t *testing.T, s *server) {
			s.do(os.Link(s.path(repo+"app.py"), s.path(repo+"again.py")))
		},
		"a hard link gets content of its own": func(t *testing.T, s *server) {
			s.do(os.Remove(s.path(repo + "hard2")))
			s.write(repo+"hard2", "hard")
		},
		"the content of a hard-linked file changes": func(t *testing.T, s *server) { s.write(repo+"hard2", "HARD") },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			followsChange(t, newServer(t), change)
		})
		t.Run(name+", and folders that rested are not read again", func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.rest = time.Millisecond
			followsChange(t, s, change)
		})
	}
}

func followsChange(t *testing.T, s *server, change func(*testing.T, *server)) {
	t.Helper()
	s.do(os.Symlink("app.py", s.path(repo+"link")))
	s.write(repo+"hard1", "hard")
	s.do(os.Link(s.path(repo+"hard1"), s.path(repo+"hard2")))
	a := s.args(phaseWarm)
	a.DeletePercent, a.Fsck = 100, false
	s.mustArgs(a)
	change(t, s)
	before := snapshot(t, s.path("data"))
	a.Phase = phaseDelta
	if r := s.mustArgs(a); !r.Changed {
		t.Error("the delta pass says that it changed nothing")
	}
	s.mustEqual()
	mustMatch(t, before, snapshot(t, s.path("data")))
	if r := s.mustArgs(a); r.Changed {
		t.Errorf("a second delta pass says changed: %v", r.Data["parts"])
	}
	s.mustEqual()
}

func TestNamesOfAllKindsAreCopied(t *testing.T) {
	s := newServer(t)
	for i, name := range []string{"line\nbreak", "not\xffutf8", "ünïcode", "#comment", ";comment", "-rf", " blank ", "*", `back\slash`, "a:b", ".hidden", "~", "a\rb", strings.Repeat("n", 255), "...", ".~tmp~"} {
		s.write(repo+"names/"+name, name)
		s.write(repo+"folders/"+name+"/"+name, name)
		s.do(os.Symlink(name, fmt.Sprintf("%s/%d→", s.path(repo+"names"), i)))
	}
	s.must(phaseWarm)
	s.write(repo+"names/line\nbreak", "changed")
	s.do(os.Remove(s.path(repo + "names/not\xffutf8")))
	s.do(os.RemoveAll(s.path(repo + "folders/-rf")))
	s.must(phaseDelta)
	s.mustEqual()
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a second delta pass says changed")
	}
}

func TestLocksCachesAndSpecialFilesAreLeftOut(t *testing.T) {
	s := newServer(t)
	left := []string{
		".cache/payload_cache.db", ".locks/flask.lock", ".write_mode/flask", ".snapshot/hourly/x",
		"cidx-meta/dependency-map/_active_123.lock", "aliases/.flask-global_ab12.tmp",
		"flask/.git/index.lock", "flask/.git/refs/heads/main.lock", "flask/.git/gc.pid",
	}
	for _, rel := range left {
		s.write("data/golden-repos/"+rel, "x")
	}
	kept := []string{
		"flask/yarn.lock", "cidx-meta/dependency-map/domain.md", "cidx-meta/dependency-map/x.lock", ".reconciliation_complete_v1",
		"cidx-exports/query-analytics/1.csv", "flask/.locks/x", "flask/.cache/x", "aliases/notes.tmp", "flask/.snapshot/x",
	}
	for _, rel := range kept {
		s.write("data/golden-repos/"+rel, "x")
	}
	s.write("data/activated-repos/.trash/old/x", "x")
	s.do(unix.Mkfifo(s.path(repo+"pipe"), 0o644))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	s.do(err)
	defer unix.Close(fd)
	t.Chdir(s.path(repo)) // socket paths are short
	s.do(unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}))

	r := s.must(phaseDelta)
	for _, rel := range append(left, "flask/pipe", "flask/socket") {
		if _, err := os.Lstat(filepath.Join(s.share, "golden-repos", rel)); err == nil {
			t.Errorf("%s was copied", rel)
		}
	}
	for _, rel := range kept {
		if _, err := os.Lstat(filepath.Join(s.share, "golden-repos", rel)); err != nil {
			t.Errorf("%s was not copied: %v", rel, err)
		}
	}
	told := map[string]string{}
	for _, l := range r.Data["left_out"].([]mirror.Omission) {
		told[l.Path] = l.Why
	}
	for path, why := range map[string]string{
		"golden-repos/.cache": "cache", "golden-repos/flask/pipe": "pipe", "golden-repos/flask/socket": "socket",
		"golden-repos/flask/.git/index.lock": "git lock", "activated-repos/.trash": "trash",
		"golden-repos/cidx-meta/dependency-map/_active_123.lock": "lock of a running dependency map",
	} {
		if told[path] != why {
			t.Errorf("left out %s because %q, want %q", path, told[path], why)
		}
	}
	if r := s.must(phaseDelta); r.Changed {
		t.Error("a second delta pass says changed")
	}
}

func TestASampleFindsACopyThatWasSpoilt(t *testing.T) {
	s := newServer(t)
	s.must(phaseWarm)
	time.Sleep(2100 * time.Millisecond) // the racy window: only then is a file at rest
	s.must(phaseWarm)
	for _, rel := range []string{"golden-repos/flask/app.py", "activated-repos/ann@example.org/flask/app.py"} {
		path := filepath.Join(s.share, rel)
		info, err := os.Stat(path)
		s.do(err)
		s.do(os.WriteFile(path, []byte("print('spoil')\n"), 0o644))
		touch(t, path, info.ModTime())
	}
	s.do(os.RemoveAll(filepath.Join(s.share, "golden-repos/.versioned/flask/v_1767312000/.git/objects")))
	a := s.args(phaseDelta)
	a.SamplePercent = 100
	r := s.mustArgs(a)
	s.mustEqual()
	if len(r.Warnings) != 3 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	if r := s.mustArgs(a); r.Changed || len(r.Warnings) > 0 {
		t.Errorf("a second delta pass: changed %v, warnings %q", r.Changed, r.Warnings)
	}
}

// A file server that was away has lost writes of an earlier run: the kernel tells
// it once, to the next one, which goes on and compares what that one has compared.
func TestWritesThatWereLostBeforeAreNoFaultAndNothingIsBelieved(t *testing.T) {
	s := newServer(t)
	s.must(phaseWarm)
	time.Sleep(2100 * time.Millisecond) // the racy window
	s.must(phaseWarm)
	path := filepath.Join(s.share, "golden-repos/flask/app.py")
	info, err := os.Stat(path)
	s.do(err)
	s.do(os.WriteFile(path, []byte("print('spoil')\n"), 0o644))
	touch(t, path, info.ModTime())
	asked := 0
	s.syncfs = func(int) error {
		if asked++; asked == 1 {
			return unix.EIO
		}
		return nil
	}
	r := s.must(phaseWarm)
	s.mustEqual()
	if said := strings.Join(r.Warnings, "\n"); !strings.Contains(said, "writes to the share were lost before this run (sync: input/output error)") {
		t.Errorf("warnings: %q", r.Warnings)
	}
	s.syncfs = func(int) error { asked++; return map[bool]error{true: unix.EIO}[asked%2 == 0] }
	asked = 0
	s.refused(s.args(phaseWarm), "sync: input/output error") // of this run
}

// The kernel tells a loss once: what a run was told, the next ones have to know,
// until one has come to its end.
func TestALossThatARunWasToldIsKnownToTheNextOne(t *testing.T) {
	for _, phase := range []string{phaseWarm, phaseDelta} {
		t.Run(phase, func(t *testing.T) {
			s := newServer(t)
			s.must(phaseWarm)
			time.Sleep(2100 * time.Millisecond) // the racy window
			s.must(phaseWarm)
			s.write("data/golden-repos/flask/new.py", "new\n")
			asked := 0
			s.syncfs = func(int) error {
				if asked++; asked == 1 && phase == phaseWarm {
					return nil // before this run nothing was lost
				}
				return unix.EIO
			}
			s.refused(s.args(phase), "sync: input/output error")
			path := filepath.Join(s.share, "golden-repos/flask/app.py")
			info, err := os.Stat(path)
			s.do(err)
			s.do(os.WriteFile(path, []byte("print('spoil')\n"), 0o644))
			touch(t, path, info.ModTime())
			s.syncfs = func(int) error { return nil }
			killed, kill := context.WithCancel(t.Context())
			kill()
			if _, err := s.runWith(killed, s.args(phaseDelta), false); err == nil {
				t.Error("the run was not interrupted")
			}
			s.must(phaseDelta)
			s.mustEqual()
		})
	}
}

func TestACopyThatIsGoneIsMadeAnew(t *testing.T) {
	s := newServer(t)
	s.must(phaseDelta)
	s.do(os.RemoveAll(filepath.Join(s.share, "golden-repos")))
	s.must(phaseDelta)
	s.mustEqual()
}

func TestAVanishedSourceIsNotFollowed(t *testing.T) {
	cases := map[string]struct {
		damage func(*server)
		want   string
	}{
		"the top folder is empty": {func(s *server) {
			s.do(os.RemoveAll(s.path("data/golden-repos")))
			s.mkdir("data/golden-repos/aliases")
		}, "has vanished"},
		"most snapshots are gone":       {func(s *server) { s.do(os.RemoveAll(s.path("data/golden-repos/.versioned/flask"))) }, "has vanished"},
		"the snapshots' folder is gone": {func(s *server) { s.do(os.RemoveAll(s.path("data/golden-repos/.versioned"))) }, "vanished"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.must(phaseDelta)
			before := snapshot(t, s.share)
			c.damage(s)
			s.refused(s.args(phaseDelta), c.want)
			mustMatch(t, before, snapshot(t, s.share))
		})
	}
}

func TestALinkedTreeIsLeftAlone(t *testing.T) {
	s := newServer(t)
	s.must(phaseDelta)
	for _, name := range []string{"golden-repos", "activated-repos"} {
		link := s.path("data/" + name)
		s.do(os.Rename(link, link+".pre-cluster"))
		s.do(os.Symlink(filepath.Join(s.share, name), link))
	}
	s.do(os.WriteFile(filepath.Join(s.share, "golden-repos/flask/app.py"), []byte("the cluster's"), 0o644))
	before := snapshot(t, s.share)
	r := s.must(phaseDelta)
	if r.Changed || r.Skipped == "" {
		t.Errorf("changed %v, skipped %q", r.Changed, r.Skipped)
	}
	mustMatch(t, before, snapshot(t, s.share))
}
