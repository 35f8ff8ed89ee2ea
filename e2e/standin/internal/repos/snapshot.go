package repos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

func sortInts(list []int64) { slices.Sort(list) }

// Refresh makes a new snapshot of a base clone, points the alias at it and applies CIDX's retention: the newest
// three stay, and the current and the previous target. It returns the snapshot's path and the alias's target before. Both
// are spelt below the server's own folders, whatever the registry says.
func (l Layout) Refresh(ctx context.Context, alias, clonePath string, now time.Time) (target, previous string, err error) {
	source, err := l.Resolve(alias, clonePath)
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(l.Versioned, alias)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("refresh %s: %w", alias, err)
	}
	stamp := now.Unix()
	target = filepath.Join(dir, "v_"+strconv.FormatInt(stamp, 10))
	for exists(target) {
		stamp++
		target = filepath.Join(dir, "v_"+strconv.FormatInt(stamp, 10))
	}
	if out, err := exec.CommandContext(ctx, "cp", "--reflink=auto", "-a", source, target).CombinedOutput(); err != nil {
		_ = os.RemoveAll(target)
		return "", "", fmt.Errorf("snapshot %s: %w: %s", alias, err, out)
	}
	previous, err = l.swapAlias(alias+"-global", target, now)
	if err != nil {
		_ = os.RemoveAll(target)
		return "", "", fmt.Errorf("refresh %s: %w", alias, err)
	}
	return target, previous, l.retain(alias, target, previous)
}

// DropSnapshot removes the snapshot of a repository that its alias named until a moment ago; a clone it leaves alone. The
// alias file goes on naming it as previous_path.
func (l Layout) DropSnapshot(alias, path string) error {
	if !slices.ContainsFunc(l.snapshots(alias), func(s string) bool { return sameFolder(s, path) }) {
		return nil
	}
	return os.RemoveAll(path)
}

func sameFolder(a, b string) bool {
	one, err := os.Stat(a)
	other, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && os.SameFile(one, other)
}

func (l Layout) retain(alias, current, previous string) error {
	list := l.snapshots(alias)
	for _, path := range list[:max(0, len(list)-3)] {
		if path == current || path == previous {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove snapshot: %w", err)
		}
	}
	return nil
}

// Churn changes a base clone as a running server does: step after step it adds, rewrites and removes its own index
// entries, and rewrites .git/FETCH_HEAD. It never touches a file that the repository or its index brought along.
func Churn(clonePath string, step int, now time.Time) error {
	if !isDir(filepath.Join(clonePath, ".git")) {
		return nil
	}
	head := fmt.Sprintf("0000000000000000000000000000000000000000\tnot-for-merge\tstep %d\n", step)
	if err := os.WriteFile(filepath.Join(clonePath, ".git", "FETCH_HEAD"), []byte(head), 0o644); err != nil {
		return fmt.Errorf("churn: %w", err)
	}
	index := filepath.Join(clonePath, ".code-indexer", "index")
	if !isDir(index) {
		return nil
	}
	dir := filepath.Join(index, "live_updates")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("churn: %w", err)
	}
	for n := max(0, step-1); n <= step; n++ { // the newest is new, the one before is rewritten
		body := fmt.Sprintf(`{"id":"live-%d","payload":{"path":"live/%d.txt","content":"live update %d"},"written":%q}`, n, n, step, ISO(now))
		if err := WriteFile(filepath.Join(dir, vectorName(n)), []byte(body), 0o644); err != nil {
			return err
		}
	}
	err := os.Remove(filepath.Join(dir, vectorName(step-3)))
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("churn: %w", err)
	}
	return nil
}

func vectorName(n int) string { return fmt.Sprintf("vector_live_%06d.json", n) }
