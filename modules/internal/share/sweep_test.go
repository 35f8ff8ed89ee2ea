package share

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestSweepRemovesWhatNobodyUsesAnyMore(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		name string
		age  time.Duration
		kept bool
	}{
		"a folder of a killed process of this node":      {fmt.Sprintf("%s%s-%d-1", workPrefix, node(), gone.Process.Pid), 0, false},
		"a folder of a process that is alive":            {fmt.Sprintf("%s%s-%d-1", workPrefix, node(), os.Getpid()), 0, true},
		"a folder of another container of this name":     {fmt.Sprintf("%s%s9-%d-1", workPrefix, node(), gone.Process.Pid), 0, true},
		"a fresh folder of another node":                 {fmt.Sprintf("%sother-%d-1", workPrefix, gone.Process.Pid), 0, true},
		"an old folder of another node":                  {workPrefix + "other-1-1", 2 * abandoned, false},
		"somebody else's folder, however old":            {"data", 100 * abandoned, true},
		"a folder whose name only starts like one of us": {".cidx-probes", 100 * abandoned, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.name)
			if err := os.MkdirAll(filepath.Join(path, "inner"), 0o700); err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(-c.age)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			sweep(dir)
			if _, err := os.Stat(path); (err == nil) != c.kept {
				t.Errorf("kept: %v, want %v", err == nil, c.kept)
			}
		})
	}
}
