package sandbox

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// standin builds the server once per test.
func standin(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) { // other accounts run it too
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", dir+"/", "cidx-cluster/e2e/cmd/cidx-standin")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build stand-in: %v: %s", err, out)
	}
	return dir
}

func small(t *testing.T, bin string) Options {
	t.Helper()
	dir, err := New()
	if err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	o.Dir, o.Bin = dir, bin
	o.Seed.Repos, o.Seed.Rows, o.Seed.FilesPerRepo = 1, 5, 10
	t.Cleanup(func() {
		if s, err := Load(dir); err == nil {
			if err := s.Down(); err != nil {
				t.Error(err)
			}
		}
	})
	return o
}

func TestUpServesAndDownLeavesNothing(t *testing.T) {
	if !CanMount() {
		t.Skip("this account may not mount; the scenarios enter a namespace")
	}
	s, err := Up(context.Background(), small(t, standin(t)))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Mounted || !s.Running(context.Background()) || !s.Postgres.process().Alive() {
		t.Fatalf("mounted %v, server %v, PostgreSQL %v", s.Mounted, s.Running(context.Background()), s.Postgres.process().Alive())
	}
	for _, secret := range []string{"env.sh", "facts.json", "sandbox.json", "inventory/host_vars/node1/vault.yml"} {
		info, err := os.Stat(filepath.Join(s.Dir, secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", secret, info, err)
		}
	}
	running, err := s.processes()
	if err != nil {
		t.Fatal(err)
	}
	running = append(running, s.Postgres.process())
	if err := s.Down(); err != nil {
		t.Fatal(err)
	}
	if err := s.Down(); err != nil {
		t.Errorf("down again: %v", err)
	}
	for _, p := range running {
		if p.Alive() {
			t.Errorf("process %d survives", p.Pid)
		}
	}
	if _, err := os.Lstat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("folder survives: %v", err)
	}
}

func TestTwoSandboxesDoNotMeet(t *testing.T) {
	bin := standin(t)
	one, err := Up(context.Background(), small(t, bin))
	if err != nil {
		t.Fatal(err)
	}
	two, err := Up(context.Background(), small(t, bin))
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Down(); err != nil {
		t.Fatal(err)
	}
	if err := two.Healthy(context.Background(), time.Second); err != nil {
		t.Errorf("the second suffers from the first one's end: %v", err)
	}
}

func TestSweepTakesWhatItsOwnerLeft(t *testing.T) {
	bin := standin(t)
	owner := exec.Command("sleep", "60")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	orphan, kept := small(t, bin), small(t, bin)
	orphan.Owner, kept.Owner = owner.Process.Pid, os.Getpid()
	for _, o := range []Options{orphan, kept} {
		if _, err := Up(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(orphan.Dir); !os.IsNotExist(err) {
		t.Errorf("the orphan survives: %v", err)
	}
	if _, err := os.Stat(kept.Dir); err != nil {
		t.Errorf("a sandbox whose owner lives was taken: %v", err)
	}
}

func TestUpThatFailsLeavesNothing(t *testing.T) {
	o := small(t, t.TempDir()) // no stand-in there
	if _, err := Up(context.Background(), o); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Lstat(o.Dir); !os.IsNotExist(err) {
		t.Errorf("folder survives: %v", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Join(o.Dir, "share"), &fs); err == nil {
		t.Error("share survives")
	}
}

func TestUpRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no folder":             {},
		"a folder that is used": {Dir: full},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Up(context.Background(), o); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := os.Stat(filepath.Join(full, "file")); err != nil {
		t.Errorf("a refused folder was touched: %v", err)
	}
}
