package rsync

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// traced is rsync under strace, which notes what it opens.
func traced(t *testing.T) (p *Program, log string) {
	t.Helper()
	p, err := Find()
	must(t, err)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	script := fmt.Sprintf("#!/bin/sh\nexec %s -f -qq -e trace=openat -o %s %s \"$@\"\n", strace, log, p.path)
	p.path = filepath.Join(dir, "rsync")
	must(t, os.WriteFile(p.path, []byte(script), 0o755))
	return p, log
}

func TestAFileOfAFreshFolderIsNotLookedForWhereEveryLookTakesItsTime(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("slow %t", slow), func(t *testing.T) {
			p, log := traced(t)
			source, into := t.TempDir(), t.TempDir()
			old := time.Now().Add(-time.Hour)
			contents := map[string]string{"file": "hello", "empty": "", "long": strings.Repeat("x", 3<<20), "holes": strings.Repeat("\x00", 3<<20) + "end"}
			for name, content := range contents {
				must(t, os.WriteFile(filepath.Join(source, name), []byte(content), 0o644))
				must(t, os.Chtimes(filepath.Join(source, name), old, old))
			}
			all := []Transfer{{Names: []string{"file", "empty", "long"}}, {Names: []string{"holes"}, Sparse: true}}
			for _, one := range all {
				one.Source, one.Into, one.Shown, one.Slow = source, into, into, slow
				must(t, p.Run(t.Context(), one, func(int64, int64) {}))
			}
			for name, content := range contents {
				got, err := os.ReadFile(filepath.Join(into, name))
				must(t, err)
				info, err := os.Stat(filepath.Join(into, name))
				must(t, err)
				if string(got) != content || !info.ModTime().Equal(old) {
					t.Errorf("%s: %d bytes, not %d; %v, not %v", name, len(got), len(content), info.ModTime(), old)
				}
			}
			raw, err := os.ReadFile(log)
			must(t, err)
			looks := 0
			for line := range strings.Lines(string(raw)) {
				if strings.Contains(line, `"holes", O_RDONLY`) && strings.Contains(line, "ENOENT") {
					looks++
				}
			}
			if slow != (looks == 0) {
				t.Errorf("it was looked for %d times", looks)
			}
		})
	}
}
