package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/tree"
)

// server is a standalone server's home with its share, for one test.
type server struct {
	t      *testing.T
	home   string
	share  string
	lines  []string
	rest   time.Duration // see settings
	syncfs func(fd int) error
}

// newServer makes a home with one repository, one snapshot and one activated
// repository, all with real git, and an empty share.
func newServer(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, home: filepath.Join(dir, "home", ".cidx-server"), share: filepath.Join(dir, "share")}
	s.mkdir("data/golden-repos/aliases")
	if err := os.MkdirAll(s.share, 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("config.json", `{"storage_mode": "postgres", "ontap": {"mount_point": "`+s.share+`"}}`)
	s.write("data/golden-repos/aliases/flask-global.json", `{"target_path": "`+s.home+`/data/golden-repos/flask"}`)
	s.write("data/golden-repos/flask/app.py", "print('hello')\n")
	s.write("data/golden-repos/flask/.code-indexer/index/v/0a/1b/vector_1.json", `{"v": [1, 2, 3]}`)
	s.git("data/golden-repos/flask", "init", "-q", "-b", "main")
	s.git("data/golden-repos/flask", "add", "app.py")
	s.git("data/golden-repos/flask", "commit", "-q", "-m", "first")
	s.command("cp", "-a", s.path("data/golden-repos/flask"), s.mkdir("data/golden-repos/.versioned/flask")+"/v_1767312000")
	s.command("cp", "-a", s.path("data/golden-repos/flask"), s.mkdir("data/activated-repos/ann@example.org")+"/flask")
	s.write("data/activated-repos/ann@example.org/flask_metadata.json", `{"user_alias": "flask"}`)
	return s
}

func (s *server) path(rel string) string { return filepath.Join(s.home, rel) }

func (s *server) mkdir(rel string) string {
	s.t.Helper()
	if err := os.MkdirAll(s.path(rel), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return s.path(rel)
}

func (s *server) write(rel, content string) {
	s.t.Helper()
	s.mkdir(filepath.Dir(rel))
	if err := os.WriteFile(s.path(rel), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) do(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) command(name string, arguments ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %v: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}

func (s *server) git(rel string, arguments ...string) string {
	s.t.Helper()
	return s.command("git", append([]string{"-C", s.path(rel)}, arguments...)...)
}

// args are the module's arguments with their defaults.
func (s *server) args(phase string) args {
	return args{Common: home.Common{Home: s.home}, Phase: phase, Compare: compareChanged, SamplePercent: 1, Fsck: true, DeletePercent: 50, Processes: 2}
}

// run calls the module and keeps its lines.
func (s *server) run(a args, check bool) (ansible.Reply, error) {
	s.t.Helper()
	return s.runWith(context.Background(), a, check)
}

func (s *server) runWith(ctx context.Context, a args, check bool) (ansible.Reply, error) {
	s.lines = nil
	ctx = progress.With(ctx, func(e progress.Event) {
		if e.Line != nil {
			s.lines = append(s.lines, *e.Line)
		}
	})
	return start(ctx, a, ansible.Mode{Check: check}, settings{mirror.Options{Window: 300, Rest: s.rest, Syncfs: s.syncfs}, true})
}

// must runs a phase that has to succeed.
func (s *server) must(phase string) ansible.Reply {
	s.t.Helper()
	return s.mustArgs(s.args(phase))
}

func (s *server) mustArgs(a args) ansible.Reply {
	s.t.Helper()
	r, err := s.run(a, false)
	if err != nil {
		s.t.Fatalf("%s pass: %v", a.Phase, err)
	}
	return r
}

// refused runs a phase that has to fail with a problem that says text.
func (s *server) refused(a args, text string) {
	s.t.Helper()
	_, err := s.run(a, false)
	mustSay(s.t, err, text)
}

func mustSay(t *testing.T, err error, text string) {
	t.Helper()
	var list problem.List
	var one problem.Problem
	if !errors.As(err, &list) && !errors.As(err, &one) {
		t.Fatalf("error is %v, want a problem that says %q", err, text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Fatalf("error %q does not say %q", err, text)
	}
}

// snapshot is every path of a tree with what matters of it; two equal trees have
// equal snapshots. Contents are read.
func snapshot(t *testing.T, root string, leave ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	inodes := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		for _, l := range leave {
			if rel == l {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
		}
		e, err := tree.Lstat(unix.AT_FDCWD, path)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d %d %s", e.Mode, e.UID, e.GID, e.Mtime, e.Link)
		if e.IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(content) > 200 {
				content = fmt.Appendf(nil, "%x of %d bytes", sha256.Sum256(content), len(content))
			}
			text += fmt.Sprintf(" %q", content)
			if e.Nlink > 1 {
				if inodes[e.Ino] == "" {
					inodes[e.Ino] = rel
				}
				text += " is " + inodes[e.Ino]
			}
		}
		all[rel] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// mustEqual compares both trees of the server with the share.
func (s *server) mustEqual(leave ...string) {
	s.t.Helper()
	for _, name := range []string{"golden-repos", "activated-repos"} {
		mustMatch(s.t, withoutAliases(snapshot(s.t, s.path("data/"+name), leave...)), withoutAliases(snapshot(s.t, filepath.Join(s.share, name), leave...)))
	}
}

// withoutAliases is a tree as its copy has to be: cidx_aliases writes alias files.
func withoutAliases(tree map[string]string) map[string]string {
	for path := range tree {
		if strings.HasSuffix(path, "-global.json") {
			delete(tree, path)
		}
	}
	return tree
}

func mustMatch(t *testing.T, want, got map[string]string) {
	t.Helper()
	errors := 0
	for path, w := range want {
		if errors++; got[path] == w {
			errors--
		}
		if errors > 10 {
			t.Fatal("and more")
		}
		if g, ok := got[path]; !ok {
			t.Errorf("missing on the share: %q", path)
		} else if g != w {
			t.Errorf("%q is\n  %.200s\nwant\n  %.200s", path, g, w)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("too much on the share: %q", path)
		}
	}
}

// touch sets a file's times.
func touch(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}
