package seed

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// gitRepo is a working clone. It is made without git init: three folders and
// two files are all that git fast-import needs.
type gitRepo struct{ dir, branch string }

type commit struct {
	message string
	files   map[string]string
}

func (g gitRepo) create(ctx context.Context, commits []commit, origin string) error {
	for _, folder := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info"} {
		if err := os.MkdirAll(filepath.Join(g.dir, ".git", folder), 0o755); err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
	}
	config := "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
	if origin != "" {
		config += remoteSection("origin", origin) + fmt.Sprintf("[branch %q]\n\tremote = origin\n\tmerge = refs/heads/%s\n", g.branch, g.branch)
	}
	files := map[string]string{"HEAD": "ref: refs/heads/" + g.branch + "\n", "config": config, "info/exclude": ".code-indexer/\nassets/\n"}
	for name, content := range files {
		if err := writeFile(filepath.Join(g.dir, ".git", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return g.run(ctx, g.stream(commits), "fast-import", "--quiet", "--done")
}

func remoteSection(name, url string) string {
	return fmt.Sprintf("[remote %q]\n\turl = %s\n\tfetch = +refs/heads/*:refs/remotes/%s/*\n", name, url, name)
}

// stream is the input of fast-import: the commits on the branch, and the
// remote's branch at the newest of them.
func (g gitRepo) stream(commits []commit) []byte {
	var b bytes.Buffer
	for i, c := range commits {
		at := epoch.Add(time.Duration(i-200) * time.Hour).Unix()
		fmt.Fprintf(&b, "commit refs/heads/%s\nmark :%d\nauthor Zoë Dev <zoe@example.org> %d +0100\ncommitter CIDX <cidx@example.org> %d +0000\n",
			g.branch, i+1, at, at)
		fmt.Fprintf(&b, "data %d\n%s\n", len(c.message), c.message)
		for _, name := range sortedKeys(c.files) {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", quotedPath(name), len(c.files[name]), c.files[name])
		}
	}
	fmt.Fprintf(&b, "reset refs/remotes/origin/%s\nfrom :%d\n\ndone\n", g.branch, len(commits))
	return b.Bytes()
}

func quotedPath(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// checkout puts branch and working files to the newest commit but back.
func (g gitRepo) checkout(ctx context.Context, back int) error {
	return g.run(ctx, nil, "reset", "--quiet", "--hard", fmt.Sprintf("refs/remotes/origin/%s~%d", g.branch, back))
}

func (g gitRepo) run(ctx context.Context, input []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.dir}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C.UTF-8",
		"GIT_COMMITTER_DATE=1767312000 +0000", "GIT_COMMITTER_NAME=CIDX", "GIT_COMMITTER_EMAIL=cidx@example.org"}
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
