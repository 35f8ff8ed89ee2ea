package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cidx-cluster/e2e/sandbox"
)

// TestTheDemo looks at the demo as an operator does, in a terminal of 80 columns
// and 24 lines, and through a pipe.
func TestTheDemo(t *testing.T) {
	if os.Getenv("LAB") != "full" {
		t.Skip("make scenarios runs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	t.Run("terminal", func(t *testing.T) {
		lines := strings.Split(inTerminal(ctx, t), "\n")
		final := -1
		for i, line := range lines {
			if n := ours(line); n > 80 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
			if line == "Migration complete!" {
				final = i
			}
		}
		if final < 0 {
			t.Fatalf("no migration was completed:\n%s", strings.Join(lines, "\n"))
		}
		for _, line := range lines[final:] {
			if strings.HasPrefix(strings.TrimLeft(line, " "), "[") && strings.Contains(line, "%]") {
				t.Errorf("a status after the end: %s", line)
			}
		}
	})
	t.Run("pipe", func(t *testing.T) {
		cmd := exec.CommandContext(ctx, "bash", "-c", `set -o pipefail; "$0" 2>&1 | cat`, filepath.Join(repo, "e2e", "demo.sh"))
		cmd.Env = append(os.Environ(), "DEMO_DIR="+filepath.Join(openFolder(t), "demo"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("the demo failed: %v\n%s", err, out)
		}
		if at := strings.IndexAny(string(out), "\x1b\r"); at >= 0 {
			t.Errorf("an escape code in a pipe: %q", out[max(0, at-60):min(len(out), at+20)])
		}
	})
}

// inTerminal runs the demo in a terminal of its own and returns what stands on it
// at the end, from the first line; wrapped lines are joined.
func inTerminal(ctx context.Context, t *testing.T) string {
	dir := openFolder(t)
	socket, status := filepath.Join(dir, "tmux"), filepath.Join(dir, "status")
	tmux := func(words ...string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, "tmux", append([]string{"-S", socket, "-f", "/dev/null"}, words...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %s: %v: %s", words[0], err, out)
		}
		return strings.TrimRight(string(out), "\n")
	}
	tmux("new-session", "-d", "-x", "80", "-y", "24", "sleep infinity", ";", "set-option", "-g", "history-limit", "100000", ";",
		"set-option", "-g", "remain-on-exit", "on", ";", "set-option", "-g", "status", "off")
	t.Cleanup(func() {
		if out, err := exec.Command("tmux", "-S", socket, "kill-server").CombinedOutput(); err != nil {
			t.Errorf("tmux kill-server: %v: %s", err, out)
		}
	})
	tmux("new-window", "-n", "demo", fmt.Sprintf("DEMO_DIR=%s/demo %s/e2e/demo.sh; echo $? > %s", dir, repo, status))
	for tick := time.NewTicker(time.Second); tmux("display-message", "-p", "-t", ":demo", "#{pane_dead}") != "1"; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the demo does not end:\n%s", tmux("capture-pane", "-p", "-t", ":demo"))
		}
	}
	screen := tmux("capture-pane", "-p", "-J", "-S", "-", "-t", ":demo")
	if code, err := os.ReadFile(status); err != nil || string(code) != "0\n" {
		t.Errorf("the demo ended with %q, %v:\n%s", code, err, screen)
	}
	return screen
}

// openFolder is a temporary folder that PostgreSQL's user may enter, too.
func openFolder(t *testing.T) string {
	dir, err := sandbox.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
