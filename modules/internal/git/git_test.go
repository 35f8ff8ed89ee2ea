package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repository makes <tree>/repo with one commit of two files.
func repository(t *testing.T, flags ...string) (tree, path string) {
	t.Helper()
	tree = t.TempDir()
	path = filepath.Join(tree, "repo")
	run(t, "", "git", append([]string{"init", "-q", path}, flags...)...)
	for _, name := range []string{"a.txt", "sub/b.txt"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(path, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(path, name), []byte(name), 0o644))
	}
	run(t, path, "git", "add", ".")
	run(t, path, "git", "commit", "-qm", "first")
	return tree, path
}

func run(t *testing.T, dir, name string, words ...string) string {
	t.Helper()
	cmd := exec.Command(name, words...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@example.org", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, words, err, out)
	}
	return strings.TrimSpace(string(out))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// check is what a step of ours does with a repository.
func check(t *testing.T, tree string, within ...string) (fsck, refs string, err error) {
	t.Helper()
	c, err := Look(t.Context(), tree, "repo", within...)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	fsck, err = c.Fsck(t.Context())
	refs, errRefs := c.refs(t.Context())
	return fsck, refs, errors.Join(err, errRefs)
}

func TestRefsAndObjectsAreGitsOwn(t *testing.T) {
	for name, change := range map[string]func(path string){
		"loose":        func(string) {},
		"packed":       func(path string) { run(t, path, "git", "gc", "-q") },
		"tags":         func(path string) { run(t, path, "git", "tag", "-am", "x", "v1") },
		"symbolic ref": func(path string) { run(t, path, "git", "symbolic-ref", "refs/remotes/origin/HEAD", "HEAD") },
		"detached":     func(path string) { run(t, path, "git", "checkout", "-q", "--detach") },
		"replaced": func(path string) {
			run(t, path, "git", "replace", "HEAD", run(t, path, "git", "commit-tree", "HEAD^{tree}", "-m", "y"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, path := repository(t)
			change(path)
			want := run(t, path, "git", "for-each-ref", "--format=%(refname) %(objectname) %(symref)")
			_, refs, err := check(t, tree)
			if err != nil || refs != want {
				t.Errorf("%v: %s", err, cmp.Diff(want, refs))
			}
		})
	}
	t.Run("SHA-256", func(t *testing.T) {
		tree, _ := repository(t, "--object-format=sha256")
		if out, _, err := check(t, tree); err != nil {
			t.Error(err, out)
		}
	})
	t.Run("borrowed objects", func(t *testing.T) {
		tree, path := repository(t)
		must(t, os.Rename(path, filepath.Join(tree, "lender")))
		run(t, tree, "git", "clone", "-q", "--shared", filepath.Join(tree, "lender"), path)
		if out, _, err := check(t, tree); err != nil {
			t.Error(err, out)
		}
	})
}

func TestMissingObjectsAreFound(t *testing.T) {
	tree, path := repository(t)
	blob := run(t, path, "git", "rev-parse", "HEAD:sub/b.txt")
	must(t, os.Remove(filepath.Join(path, ".git/objects", blob[:2], blob[2:])))
	out, _, err := check(t, tree)
	if err == nil || !strings.Contains(out, "missing blob "+blob) || strings.Contains(out, os.TempDir()) {
		t.Error(err, out)
	}
}

func TestShallowAndPartialClonesAreWell(t *testing.T) {
	tree, path := repository(t)
	run(t, path, "git", "commit", "-qm", "second", "--allow-empty")
	run(t, path, "git", "config", "uploadpack.allowFilter", "true")
	for _, how := range []string{"--depth=1", "--filter=blob:none"} {
		t.Run(how, func(t *testing.T) {
			other := t.TempDir()
			run(t, tree, "git", "clone", "-q", how, "--no-checkout", "file://"+path, filepath.Join(other, "repo"))
			if out, _, err := check(t, other); err != nil {
				t.Error(err, out)
			}
		})
	}
}

// Each way by which a repository can name a program: git must not run it.
func TestNoProgramOfTheRepositoryRuns(t *testing.T) {
	for name, settings := range map[string][]string{
		"core.fsmonitor":         {"core.fsmonitor=%s"},
		"core.sshCommand":        {"core.sshCommand=%s", "remote.origin.url=ssh://h/x"},
		"remote.*.uploadpack":    {"remote.origin.uploadpack=%s"},
		"an ext:: address":       {"remote.origin.url=ext::%s", "protocol.ext.allow=always"},
		"core.gitProxy":          {"core.gitProxy=%s", "remote.origin.url=git://h/x"},
		"core.alternateRefs":     {"core.alternateRefsCommand=%s"},
		"credential.helper":      {"credential.helper=!%s", "remote.origin.url=https://127.0.0.1:1/x"},
		"core.askPass":           {"core.askPass=%s"},
		"core.pager":             {"core.pager=%s", "pager.fsck=%s", "pager.for-each-ref=%s"},
		"an alias":               {"alias.fsck=!%s", "alias.for-each-ref=!%s"},
		"a filter":               {"filter.x.smudge=%s", "filter.x.clean=%s", "filter.x.process=%s"},
		"a diff driver":          {"diff.x.textconv=%s", "diff.external=%s"},
		"an included file":       {"include.path=/dev/stdin"},
		"gpg":                    {"gpg.program=%s"},
		"a vfs (core.virtual…)":  {"core.virtualFilesystem=%s"},
		"trace2 into a file":     {"trace2.eventTarget=/%s", "trace2.normalTarget=%s"},
		"core.hooksPath":         {"core.hooksPath=%s"},
		"url.*.insteadOf of ext": {"url.ext::%s.insteadOf=/"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, path := repository(t)
			mark := filepath.Join(t.TempDir(), "ran")
			program := filepath.Join(t.TempDir(), "program")
			must(t, os.WriteFile(program, []byte("#!/bin/sh\nid >> "+mark+"\nexit 1\n"), 0o755))
			must(t, os.WriteFile(filepath.Join(path, ".gitattributes"), []byte("* filter=x diff=x\n"), 0o644))
			tip := run(t, path, "git", "rev-parse", "HEAD^{tree}")
			for _, s := range append([]string{"core.repositoryFormatVersion=1", "extensions.partialClone=origin", "remote.origin.promisor=true", "remote.origin.url=" + path}, settings...) {
				key, value, _ := strings.Cut(strings.ReplaceAll(s, "%s", program), "=")
				run(t, path, "git", "config", key, value)
			}
			must(t, os.Remove(filepath.Join(path, ".git/objects", tip[:2], tip[2:])))
			_, _, _ = check(t, tree)
			root, err := os.OpenRoot(path)
			must(t, err)
			defer root.Close()
			if paths, err := Tracked(root, 100); err != nil || len(paths) != 2 {
				t.Error(paths, err)
			}
			if who, err := os.ReadFile(mark); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the program ran: %s", who)
			}
		})
	}
}

// A private file of somebody else must neither be read nor quoted.
func TestNoFileOutsideIsQuoted(t *testing.T) {
	const secret = "s3cr3t-line-of-roots"
	for name, change := range map[string]func(git, foreign string) error{
		"fsck.skipList":         func(git, foreign string) error { return set(git, "fsck.skipList", foreign) },
		"fetch.fsck.skipList":   func(git, foreign string) error { return set(git, "fetch.fsck.skipList", foreign) },
		"include.path":          func(git, foreign string) error { return set(git, "include.path", foreign) },
		"includeIf":             func(git, foreign string) error { return set(git, "includeIf.gitdir:/.path", foreign) },
		"core.attributesFile":   func(git, foreign string) error { return set(git, "core.attributesFile", foreign) },
		"core.excludesFile":     func(git, foreign string) error { return set(git, "core.excludesFile", foreign) },
		"core.worktree":         func(git, foreign string) error { return set(git, "core.worktree", filepath.Dir(foreign)) },
		"mailmap.file":          func(git, foreign string) error { return set(git, "mailmap.file", foreign) },
		"packed-refs is a link": func(git, foreign string) error { return replace(git, "packed-refs", foreign) },
		"shallow is a link":     func(git, foreign string) error { return replace(git, "shallow", foreign) },
		"config is a link":      func(git, foreign string) error { return replace(git, "config", foreign) },
		"HEAD is a link":        func(git, foreign string) error { return replace(git, "HEAD", foreign) },
		"a ref is a link":       func(git, foreign string) error { return replace(git, "refs/heads/other", foreign) },
		"refs is a link":        func(git, foreign string) error { return replace(git, "refs", filepath.Dir(foreign)) },
		"index is a link":       func(git, foreign string) error { return replace(git, "index", foreign) },
		"grafts is a link":      func(git, foreign string) error { return replace(git, "info/grafts", foreign) },
		"alternates is a link":  func(git, foreign string) error { return replace(git, "objects/info/alternates", foreign) },
		"alternates leads out": func(git, foreign string) error {
			return os.WriteFile(git+"/objects/info/alternates", []byte(filepath.Dir(foreign)+"\n"), 0o644)
		},
		"objects is a link": func(git, foreign string) error { return replace(git, "objects", filepath.Dir(foreign)) },
		"commondir": func(git, foreign string) error {
			return os.WriteFile(git+"/commondir", []byte(filepath.Dir(foreign)), 0o644)
		},
		".git is a file": func(git, foreign string) error { return os.Rename(git, git+".aside") },
		"config of another line": func(git, foreign string) error {
			return os.WriteFile(git+"/config", []byte("[include]\npath="+foreign+"\n[broken\n"), 0o644)
		},
		"worktree configuration": func(git, foreign string) error {
			return errors.Join(set(git, "extensions.worktreeConfig", "true"), replace(git, "config.worktree", foreign))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, path := repository(t)
			foreign := filepath.Join(t.TempDir(), "shadow")
			must(t, os.WriteFile(foreign, []byte(secret+"\n"), 0o600))
			if err := change(filepath.Join(path, ".git"), foreign); err != nil {
				t.Fatal(err)
			}
			fsck, refs, err := check(t, tree)
			if told := fmt.Sprint(fsck, refs, err); strings.Contains(told, secret) {
				t.Errorf("the file is quoted: %s", told)
			}
			if unusual, ok := IsUnusual(err); err != nil && !ok && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("not named as unusual: %v %v", unusual, err)
			}
			if strings.Contains(name, " is a link") && !strings.HasPrefix(name, "index") && !strings.HasPrefix(name, "grafts") && err == nil {
				t.Error("a link was followed")
			}
		})
	}
}

func set(git, key, value string) error {
	return exec.Command("git", "config", "--file", git+"/config", key, value).Run()
}

func replace(git, name, to string) error {
	_ = os.RemoveAll(filepath.Join(git, name))
	return os.Symlink(to, filepath.Join(git, name))
}

func TestTrackedReadsEveryFormOfIndex(t *testing.T) {
	for name, words := range map[string][]string{
		"version 2": {"update-index", "--index-version", "2"}, "version 3": {"update-index", "--index-version", "3"},
		"version 4": {"update-index", "--index-version", "4"}, "intent to add": {"add", "-N", "."},
		"sparse index": {"sparse-checkout", "set", "--cone", "--sparse-index", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			_, path := repository(t)
			must(t, os.WriteFile(path+"/late file.txt", []byte("x"), 0o644))
			run(t, path, "git", words...)
			want := strings.Split(run(t, path, "git", "-c", "core.quotePath=false", "ls-files"), "\n")
			root, err := os.OpenRoot(path)
			must(t, err)
			defer root.Close()
			got, err := Tracked(root, 100)
			if name == "sparse index" {
				want = []string{"a.txt"} // the folder is one entry
			}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Setenv("CIDX_HELPER_DIR", t.TempDir())
	tree, _ := repository(t)
	if _, _, err := check(t, tree); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(os.Getenv("CIDX_HELPER_DIR") + "/tmp/*"); len(left) > 0 {
		t.Error(left)
	}
}

// One place starts git, so that one environment is enough.
func TestNobodyElseStartsGit(t *testing.T) {
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../git/") || strings.HasPrefix(path, "../../internal/git/") {
			return err
		}
		text, err := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"git"`) && (strings.Contains(line, "exec.") || strings.Contains(line, "Argv")) {
				t.Errorf("%s starts git: %s", path, strings.TrimSpace(line))
			}
		}
		return err
	})
	must(t, err)
}
