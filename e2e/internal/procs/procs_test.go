package procs

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestWhoHasFilesOpen starts a program called rsync in a watched folder, once as
// root and once as somebody else.
func TestWhoHasFilesOpen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	top, err := os.MkdirTemp("", "procs-") // t.TempDir lies in a folder that only its owner may pass
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(top)
	dir, program := filepath.Join(top, "watched"), filepath.Join(top, "rsync")
	text, err := os.ReadFile(sleep)
	if err = errors.Join(err, os.Chmod(top, 0o755), os.Mkdir(dir, 0o755)); err == nil {
		err = os.WriteFile(program, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]int{0: 1, 65534: 0} {
		w := watch{folders: []string{dir}, others: map[int]bool{}}
		cmd := exec.CommandContext(context.Background(), program, "60")
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(10 * time.Second); len(w.byRoot)+len(w.others) == 0 && time.Now().Before(until); {
			each(w.see)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if len(w.byRoot) != want || len(w.others) != 1-want {
			t.Errorf("uid %d: by root %q, by others %d", uid, w.byRoot, len(w.others))
		}
	}
}
