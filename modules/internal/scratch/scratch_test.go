package scratch

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Whoever makes a folder clears away what a killed process has left, and leaves
// alone what a living one uses, however old it is.
func TestFoldersOfKilledProcessesAreSwept(t *testing.T) {
	if dir := os.Getenv("SCRATCH_HOLDS"); dir != "" { // the process that is killed
		f, err := New("kind")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "made"), []byte(f.Path), 0o600); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	helper := t.TempDir()
	t.Setenv(HelperFolder, helper)
	t.Setenv("SCRATCH_HOLDS", helper)
	child := exec.Command(os.Args[0], "-test.run=TestFoldersOfKilledProcessesAreSwept")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	var left string
	for deadline := time.Now().Add(10 * time.Second); left == ""; {
		raw, _ := os.ReadFile(filepath.Join(helper, "made"))
		if left = string(raw); time.Now().After(deadline) {
			t.Fatal("the child has made no folder")
		}
	}
	other := filepath.Join(helper, "tmp", "other-kind")
	long := time.Now().Add(-25 * time.Hour)
	for _, path := range []string{left, other} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	first, err := New("kind")
	if err != nil {
		t.Fatal(err)
	}
	if !there(left) {
		t.Error("the folder of a living process is gone")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	second, err := New("kind")
	if err != nil {
		t.Fatal(err)
	}
	if there(left) {
		t.Error("the folder of a killed process is there")
	}
	for _, f := range []Folder{first, second} {
		if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", f.Path, info, err)
		}
	}
	first.Remove()
	if there(first.Path) || !there(second.Path) || !there(other) {
		t.Error("removed is what was to be removed:", there(first.Path), there(second.Path), there(other))
	}
}
