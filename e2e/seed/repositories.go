package seed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// makeRepositories makes every base clone and its snapshots, two at a time.
func (w *world) makeRepositories(ctx context.Context, template []byte) error {
	work := make(chan repo)
	errs := make(chan error, 2)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var done sync.WaitGroup
	for range 2 {
		done.Go(func() {
			for r := range work {
				if err := w.makeRepository(ctx, r, template); err != nil {
					errs <- fmt.Errorf("make repository %s: %w", r.alias, err)
					cancel()
					return
				}
			}
		})
	}
	for _, r := range w.repos {
		select {
		case work <- r:
		case <-ctx.Done():
		}
	}
	close(work)
	done.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	return ctx.Err()
}

// makeRepository makes one base clone and, from it, each snapshot at an older
// or the same commit.
func (w *world) makeRepository(ctx context.Context, r repo, template []byte) error {
	g := gitRepo{dir: r.clone, branch: r.branch}
	if err := g.create(ctx, w.history(r), w.originOf(r)); err != nil {
		return err
	}
	files := w.FilesPerRepo - workFiles(w.FilesPerRepo)
	if err := makeIndex(w, r, files, template); err != nil {
		return err
	}
	if err := w.makeSpecial(r); err != nil {
		return err
	}
	commits := max(1, len(r.snapshots))
	if len(r.snapshots) == 0 {
		if err := g.checkout(ctx, 0); err != nil {
			return err
		}
		return settle(r.clone, w.Random)
	}
	if err := os.MkdirAll(filepath.Join(w.place.versioned, r.alias), 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	for i, snapshot := range r.snapshots {
		if err := g.checkout(ctx, commits-1-i); err != nil {
			return err
		}
		if err := settle(r.clone, w.Random); err != nil {
			return err
		}
		if err := copyTree(ctx, r.clone, snapshot); err != nil {
			return err
		}
	}
	return nil
}

// originOf is the remote of a base clone; one was cloned from its neighbour on disk.
func (w *world) originOf(r repo) string {
	switch r.alias {
	case "cidx-meta", "local-tool":
		return "" // registered in place: no remote of their own
	case "Mobile_App":
		return w.repos[0].clone
	}
	return r.url
}

// workFiles is how many of a repository's files are in git; the rest is its index.
func workFiles(files int) int { return max(6, files/4) }

// history is the content of each commit, oldest first: the first has every
// file, each later one changes two and adds one.
func (w *world) history(r repo) []commit {
	var commits []commit
	first := commit{message: "Initial import of " + r.alias, files: map[string]string{
		"README.md":  fmt.Sprintf("# %s\n\nThis repository is known by the word %s.\n", r.alias, r.word),
		".gitignore": ".code-indexer/\n"}}
	for i := range workFiles(w.FilesPerRepo) - 2 {
		first.files[workFile(i)] = sourceOf(r, i, 0)
	}
	commits = append(commits, first)
	for c := 1; c < max(1, len(r.snapshots)); c++ {
		commits = append(commits, commit{message: fmt.Sprintf("Change %d: größer\n\nWith a body.", c), files: map[string]string{
			workFile(c): sourceOf(r, c, c), fmt.Sprintf("CHANGES-%d.md", c): sourceOf(r, c, c)}})
	}
	return commits
}

func workFile(i int) string {
	names := []string{"src/main.py", "src/données/modèle.py", "docs/with space.md", "lib/util.go"}
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("src/part%02d/module_%05d.py", i%40, i)
}

func sourceOf(r repo, i, version int) string {
	return fmt.Sprintf("# %s, part %d, version %d\ndef handle_%d(request):\n    \"\"\"Handles %s: straße.\"\"\"\n    return request.%s + %d\n",
		r.alias, i, version, i, r.word, r.word, i)
}

// makeSpecial adds what only some repositories have.
func (w *world) makeSpecial(r repo) error {
	switch r.alias {
	case "billing":
		return w.makeAwkward(r.clone)
	case "data.pipeline-v2": // borrows objects by an absolute path
		alternates := filepath.Join(w.repos[0].clone, ".git", "objects") + "\n"
		return writeFile(filepath.Join(r.clone, ".git", "objects", "info", "alternates"), []byte(alternates), 0o644)
	case "infra": // was once a submodule elsewhere
		gitdir := "gitdir: " + filepath.Join(w.repos[0].clone, ".git", "modules", "sub") + "\n"
		return writeFile(filepath.Join(r.clone, "assets", "sub", ".git"), []byte(gitdir), 0o644)
	}
	return nil
}

// makeAwkward adds what user repositories may hold: links of every kind, a
// hard-linked pair, odd names, modes and an empty folder.
func (w *world) makeAwkward(clone string) error {
	dir := filepath.Join(clone, "assets")
	if err := os.MkdirAll(filepath.Join(dir, "empty"), 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	links := map[string]string{
		"link-relative": "../README.md", "link-outside": "../../../../../outside/of/the/tree", "link-dangling": "nowhere/at all",
		"link-absolute": filepath.Join(w.place.golden, w.repos[min(1, len(w.repos)-1)].alias, "README.md"), "link-system": "/etc/hostname",
		"link-sibling": w.place.golden + "-old/README.md", "link-to-folder": "empty",
		"link-latin1": "caf\xe9-latin1.txt", // no UTF-8
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("create link: %w", err)
		}
	}
	names := map[string]os.FileMode{"Überblick – Q3.txt": 0o640, "-rf *?[a].txt": 0o600, "line\nbreak.txt": 0o644, "caf\xe9-latin1.txt": 0o644,
		"run.sh": 0o755, "read only.txt": 0o444, "private.key": 0o400, "twin-a": 0o664, " leading space": 0o644, "100%_done;$HOME`.txt": 0o644}
	for name, mode := range names {
		if err := writeFile(filepath.Join(dir, name), []byte("content of "+name+"\n"), mode); err != nil {
			return err
		}
	}
	if err := os.Link(filepath.Join(dir, "twin-a"), filepath.Join(dir, "empty", "..", "twin-b")); err != nil {
		return fmt.Errorf("create hard link: %w", err)
	}
	if err := os.Truncate(filepath.Join(dir, "run.sh"), 1<<20); err != nil { // sparse
		return fmt.Errorf("make sparse file: %w", err)
	}
	return os.Chmod(filepath.Join(dir, "empty"), 0o750|os.ModeSetgid)
}
