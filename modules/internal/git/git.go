// Package git reads repositories that belong to somebody else.
//
// A repository can name programs in its configuration (core.fsmonitor,
// core.sshCommand, remote.*.uploadpack, filters, hooks, an ext:: address) and
// files anywhere on the machine (includes, fsck.skipList, links in the place of
// packed-refs), of which git quotes lines. So git never sees a repository's own
// folder: Look copies what says which objects are needed (HEAD, refs, shallow)
// into a private git directory with a configuration of ours, and links only the
// folders of the objects into it. git then starts nothing but itself, asks no
// remote, writes nowhere else, and reads no file that a repository names.
//
// A repository that keeps its own data behind links, or borrows objects from
// outside the folders that it may use, is refused with an Unusual.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/scratch"
)

// Unusual is a repository that is not read: doing so would lead out of the
// folders that are its own. It wraps no other error.
type Unusual struct {
	Path string // relative to the repository, e.g. ".git/packed-refs"
	What string // e.g. "is a symbolic link"
}

// Error says what is unusual.
func (u Unusual) Error() string { return u.Path + " " + u.What }

// Clone is a repository that was looked at. Close it.
type Clone struct {
	dir     string // the private git directory
	private scratch.Folder
	objects []farm // where the objects really are, for messages
}

// Installed reports whether there is a git to run.
func Installed() bool {
	_, err := exec.LookPath("git")
	return err == nil
}

// Look prepares the repository at folder, a path below tree, for reading.
// Objects may be borrowed from folders below within (and tree). The error is an
// Unusual where the repository is not to be read.
func Look(ctx context.Context, tree, folder string, within ...string) (*Clone, error) {
	outer, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	gitDir := filepath.Join(folder, ".git")
	if info, err := outer.Lstat(gitDir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, Unusual{".git", "is no folder"}
	}
	repository, err := outer.OpenRoot(gitDir)
	if err != nil {
		return nil, err
	}
	defer repository.Close()
	private, err := scratch.New("cidx-git")
	if err != nil {
		return nil, err
	}
	c := &Clone{dir: private.Path, private: private}
	err = c.build(ctx, repository, filepath.Join(tree, gitDir), append(within, tree))
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close removes the private copy.
func (c *Clone) Close() { c.private.Remove() }

// Fsck looks whether every object that the refs need is there. err is nil if so;
// out is what git says, with the repository's places spelled relative to it.
func (c *Clone) Fsck(ctx context.Context) (out string, err error) {
	return c.run(ctx, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
}

// refs lists the refs, one a line: name, object, and what a symbolic ref names.
func (c *Clone) refs(ctx context.Context) (out string, err error) {
	return c.run(ctx, "for-each-ref", "--format=%(refname) %(objectname) %(symref)")
}

func (c *Clone) run(ctx context.Context, arguments ...string) (string, error) {
	out, err := start(ctx, c.dir, nil, arguments...)
	for _, f := range c.objects {
		out = strings.ReplaceAll(out, f.private, f.shown)
	}
	return strings.TrimSpace(strings.ReplaceAll(out, c.dir, ".git")), err
}

// maxOutput bounds what is kept of git's words.
const maxOutput = 4 << 20

// start runs git in a private git directory, with an environment of ours alone.
func start(ctx context.Context, dir string, input []byte, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", arguments...)
	cmd.Dir = "/"
	cmd.Env = environment(dir)
	cmd.Stdin = bytes.NewReader(input)
	var out bounded
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// environment closes every way by which git learns of a program, a server or a
// file that is not in dir. dir's configuration is ours; the rest holds for
// builds of git with defaults of their own.
func environment(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent", "TMPDIR=" + dir,
		"GIT_DIR=" + dir, "GIT_CEILING_DIRECTORIES=/",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_PROTOCOL_FROM_USER=0", "GIT_TERMINAL_PROMPT=0",
		"GIT_OPTIONAL_LOCKS=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false", "GIT_SSH_COMMAND=/bin/false",
		"GIT_PAGER=cat", "GIT_EDITOR=/bin/false",
	}
}

// bounded keeps the start of an output.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

const promisor = "remote.nobody.promisor"

// settings are the parts of a repository's configuration that its objects
// cannot be read without; nothing else of it is used.
func settings(ctx context.Context, dir string, config []byte) (map[string]string, error) {
	out, err := start(ctx, dir, config, "config", "--file", "-", "--no-includes", "--null", "--list")
	if err != nil {
		// git's words may quote the file.
		return nil, Unusual{".git/config", "cannot be read by git"}
	}
	kept := map[string]string{}
	for entry := range strings.SplitSeq(out, "\x00") {
		name, value, _ := strings.Cut(entry, "\n")
		switch name {
		case "extensions.objectformat", "extensions.compatobjectformat", "extensions.refstorage", "core.repositoryformatversion":
			if strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
				return nil, Unusual{".git/config", fmt.Sprintf("has %s = %q", name, value)}
			}
			kept[name] = value
		case "extensions.partialclone":
			kept[promisor] = "true" // that it is partial counts; whom it would ask does not
		}
		if strings.HasPrefix(name, "remote.") && strings.HasSuffix(name, ".promisor") && value != "false" {
			kept[promisor] = "true"
		}
	}
	return kept, nil
}

// configuration is ours, for the private git directory.
func configuration(kept map[string]string) []byte {
	var b strings.Builder
	version := kept["core.repositoryformatversion"]
	if version == "" {
		version = "0"
	}
	b.WriteString("[core]\n\trepositoryformatversion = " + version + "\n\tbare = true\n\tfsmonitor = false\n\thooksPath = /dev/null\n" +
		"\tlogAllRefUpdates = false\n\tattributesFile = /dev/null\n\texcludesFile = /dev/null\n" +
		"[protocol]\n\tallow = never\n[gc]\n\tauto = 0\n")
	if kept[promisor] != "" {
		b.WriteString("[remote \"nobody\"]\n\tpromisor = true\n")
	}
	for _, name := range []string{"objectformat", "compatobjectformat", "refstorage"} {
		if value := kept["extensions."+name]; value != "" {
			b.WriteString("[extensions]\n\t" + name + " = " + value + "\n")
		}
	}
	return []byte(b.String())
}

// IsUnusual returns the Unusual that err is.
func IsUnusual(err error) (Unusual, bool) { return errors.AsType[Unusual](err) }

// Comparison is what git says of a clone and its copy.
type Comparison struct {
	OK     bool   // every object that the copy's refs need is there, and the refs are the same; or both have the same faults
	Faults string // that both have
	Detail string // what there is to say
}

// Compare asks git about a clone and its copy.
func Compare(ctx context.Context, clone, copied *Clone) Comparison {
	if out, err := copied.Fsck(ctx); err != nil {
		if was, err := clone.Fsck(ctx); err != nil && was == out {
			faults := human.FirstLines(out, 2)
			return Comparison{OK: true, Faults: faults, Detail: "as broken as at the source: " + faults}
		}
		return Comparison{Detail: "git fsck: " + human.FirstLines(out, 3)}
	}
	was, errA := clone.refs(ctx)
	is, errB := copied.refs(ctx)
	switch {
	case errA != nil || errB != nil:
		return Comparison{Detail: "refs are not readable: " + human.FirstLines(was+is, 2)}
	case was != is:
		return Comparison{Detail: "refs differ: " + changedLine(is, was)}
	}
	return Comparison{OK: true}
}

// changedLine is the first line of a that b has otherwise.
func changedLine(a, b string) string {
	other := strings.Split(b, "\n")
	for i, line := range strings.Split(a, "\n") {
		if i >= len(other) || other[i] != line {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
