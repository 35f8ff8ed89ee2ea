package process

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestHolders(t *testing.T) {
	dir := t.TempDir()
	file, below := filepath.Join(dir, "a.db"), filepath.Join(dir, "repos", "x")
	if err := os.MkdirAll(filepath.Dir(below), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, dir+"-link"); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir + "-link")
	elsewhere := t.TempDir()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, filepath.Join(elsewhere, "b.db")); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		path  string
		flags int
		found bool
	}{
		"a database, for reading":                  {file, os.O_RDONLY, true},
		"a file of a repository, for reading":      {below, os.O_RDONLY, false},
		"a file of a repository, for writing":      {below, os.O_WRONLY | os.O_APPEND, true},
		"something else, for writing":              {dir + "/other", os.O_RDWR, false},
		"a database under another name of its dir": {dir + "-link/a.db", os.O_RDONLY, true},
		"a database under a name of its own":       {filepath.Join(elsewhere, "b.db"), os.O_RDONLY, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, err := os.OpenFile(c.path, c.flags|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			child := exec.Command("sleep", "60")
			child.Stdin = f
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
			holders, _, err := Holders(Files([]string{file}), []string{filepath.Dir(below)})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(holders) == 1 && holders[0].PID == child.Process.Pid && holders[0].Name == "sleep"; got != c.found || !c.found && len(holders) > 0 {
				t.Errorf("found %v", holders)
			}
		})
	}
}

func TestPIDFile(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "server.pid")
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	pid := child.Process.Pid
	old := time.Now().Add(-time.Hour)
	cases := map[string]struct {
		text  string
		time  time.Time
		alive bool
	}{
		"a living server":                  {fmt.Sprintf("%d\n", pid), time.Now(), true},
		"a JSON object":                    {fmt.Sprintf(`{"pid": %d, "port": 8000}`, pid), time.Now(), true},
		"a number that was given anew":     {fmt.Sprint(pid), old, false},
		"a process that does not exist":    {"4194399", time.Now(), false},
		"no number":                        {"gone", time.Now(), false},
		"the first process of the machine": {"1", time.Now(), true},
	}
	if _, alive, err := PIDFile(home); alive || err != nil {
		t.Errorf("without a file: %v, %v", alive, err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, c.time, c.time); err != nil {
				t.Fatal(err)
			}
			if _, alive, err := PIDFile(home); alive != c.alive || err != nil {
				t.Errorf("alive %v, %v", alive, err)
			}
		})
	}
}

func TestListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if _, ok := Listener(port); !ok {
		t.Error("nobody listens")
	}
	l.Close()
	if p, ok := Listener(port); ok {
		t.Errorf("%v still listens", p)
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{
		"0100007F:1F40": "127.0.0.1", "00000000:1F40": "0.0.0.0", "0502000A:1F40": "10.0.2.5",
		"00000000000000000000000000000000:1F40": "::", "00000000000000000000000001000000:1F40": "::1", "zz:1": "",
	} {
		if got := hostOf(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
