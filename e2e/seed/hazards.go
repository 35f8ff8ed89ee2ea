package seed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// makeHazards adds what a plain copy of folders gets wrong: what must be left
// behind, and files of git that hold absolute paths into the moved trees. It
// comes last, since some of it keeps git from working.
func (w *world) makeHazards() error {
	clone := w.repos[min(2, len(w.repos)-1)].clone
	steps := []func() error{
		func() error { return w.makeTransient(clone) },
		func() error { return w.makeWorktrees(clone) },
		func() error { return w.makeBorrowing(clone) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// makeTransient adds what belongs to processes of the old machine, and a folder
// that is only named like a lock.
func (w *world) makeTransient(clone string) error {
	files := map[string]string{
		filepath.Join(clone, ".git", "gc.pid"):                               "4242 cidx-host\n",
		filepath.Join(clone, ".git", "refs", "heads", "stale.lock"):          "",
		filepath.Join(clone, ".git", "hooks", "folder.lock", "keep"):         "a folder is no lock\n",
		filepath.Join(clone, "assets", "yarn.lock"):                          "a user's file is no lock of git\n",
		filepath.Join(w.place.aliases, ".billing-global.json.x1y2.tmp"):      `{"target_path": "/half/wri`,
		filepath.Join(w.place.golden, ".snapshot", "hourly.0", "README"):     "the file server's\n",
		filepath.Join(w.place.activated, ".snapshot", "hourly.0", "README"):  "the file server's\n",
		filepath.Join(w.place.activated, "pia", ".snapshot", "of-the-user"):  "not at the top\n",
		filepath.Join(clone, ".code-indexer", "index", "live.tmp"):           "a temporary file that is no alias file\n",
		filepath.Join(w.place.golden, "cidx-meta", ".half-an-alias.tmp"):     "not in the folder of alias files\n",
		filepath.Join(w.place.golden, "cidx-meta", "dependency-map", "lock"): "not an active lock\n",
	}
	for _, r := range w.repos {
		if n := len(r.snapshots); n > 0 {
			files[filepath.Join(r.snapshots[n-1], ".git", "index.lock")] = ""
			break
		}
	}
	for path, content := range files {
		if err := writeFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	for path, kind := range map[string]uint32{
		filepath.Join(clone, ".git", "fsmonitor--daemon.ipc"): unix.S_IFSOCK,
		filepath.Join(clone, "assets", "queue"):               unix.S_IFIFO,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		if err := unix.Mknod(path, kind|0o600, 0); err != nil {
			return fmt.Errorf("create %s: %w", path, err)
		}
	}
	return nil
}

// makeWorktrees adds two linked worktrees, as git worktree add leaves them; the
// second one names its repository absolutely, as other tools do.
func (w *world) makeWorktrees(clone string) error {
	head, err := os.ReadFile(filepath.Join(clone, ".git", "HEAD"))
	if err != nil {
		return fmt.Errorf("read HEAD: %w", err)
	}
	for name, common := range map[string]string{"review": "../..", "hotfix": filepath.Join(clone, ".git")} {
		record, tree := filepath.Join(clone, ".git", "worktrees", name), filepath.Join(clone, "assets", name)
		files := map[string]string{
			filepath.Join(tree, ".git"):              "gitdir: " + record + "\n",
			filepath.Join(record, "gitdir"):          filepath.Join(tree, ".git") + "\n",
			filepath.Join(record, "commondir"):       common + "\n",
			filepath.Join(record, "HEAD"):            string(head),
			filepath.Join(record, "config.worktree"): "# made in " + tree + "\n[core]\n\tworktree = \"" + tree + "\" ; for " + clone + "\n",
		}
		for path, content := range files {
			if err := writeFile(path, []byte(content), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeBorrowing adds every other place in which git keeps a path: alternates
// with a comment and a relative line, local remotes as path and as URL, an
// include, a submodule; and texts that only look like a path into the trees.
func (w *world) makeBorrowing(clone string) error {
	lender := w.repos[0].clone
	alternates := "# borrowed from " + lender + "\n" + filepath.Join(lender, ".git", "objects") + "\n../../../" + filepath.Base(lender) + "/.git/objects\n"
	if err := writeFile(filepath.Join(clone, ".git", "objects", "info", "alternates"), []byte(alternates), 0o644); err != nil {
		return err
	}
	config := strings.NewReplacer("LENDER", lender, "ENCODED", strings.ReplaceAll(lender, "-", "%2D"), "CLONE", clone, "GOLDEN", w.place.golden).Replace(
		"[remote \"mirror\"]\n\turl = \"file://LENDER\" ; a mirror of LENDER\n\tpushurl=LENDER\n" +
			"[remote \"encoded\"]\n\turl = file://ENCODED\n" +
			"[remote \"sibling\"]\n\turl = GOLDEN-old/billing\n" +
			"[remote \"far\"]\n\turl = ssh://git@example.orgGOLDEN/billing\n" +
			"[include]\n\tpath = CLONE/.git/info/extra # may be missing\n" +
			"[alias]\n\tgo = !cd CLONE && git status\n")
	old, err := os.ReadFile(filepath.Join(clone, ".git", "config"))
	if err != nil {
		return fmt.Errorf("read git config: %w", err)
	}
	if err := writeFile(filepath.Join(clone, ".git", "config"), append(old, config...), 0o644); err != nil {
		return err
	}
	submodule := "[core]\n\tworktree = " + filepath.Join(clone, "assets", "lib") + "\n[remote \"origin\"]\n\turl = https://git.example.org/lib.git\n"
	return writeFile(filepath.Join(clone, ".git", "modules", "lib", "config"), []byte(submodule), 0o600)
}
