package service

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/process"
)

// apart starts a shell command that is no child of ours, and returns the process
// whose number it prints.
func apart(t *testing.T, command string) int {
	t.Helper()
	out, err := exec.Command("sh", "-c", command).Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// A database held by somebody is told; held by the server or a child of it, not.
func TestForeignHoldersAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		serverHolds, foreignHolds, stopped, known bool
		want                                      bool
	}{
		"a person with sqlite3":                {serverHolds: true, foreignHolds: true, known: true, want: true},
		"the server's child alone":             {serverHolds: true, known: true},
		"the same, server not found":           {serverHolds: true, foreignHolds: true},
		"a person while the server is stopped": {foreignHolds: true, stopped: true, want: true},
		"nobody":                               {known: true},
	} {
		t.Run(name, func(t *testing.T) {
			common := home.Common{Home: t.TempDir()}
			file := filepath.Join(common.Home, "data", "cidx_server.db")
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if c.serverHolds {
				// The server's child holds it, in a session of its own.
				pid := apart(t, "sh -c 'setsid sleep 61 <"+file+" & echo $! >"+file+".child; wait' >/dev/null 2>&1 & echo $!")
				t.Cleanup(func() {
					raw, _ := os.ReadFile(file + ".child") // setsid(1) becomes sleep: one number
					if child, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
						_ = syscall.Kill(child, syscall.SIGKILL)
					}
				})
				if c.known {
					if err := os.WriteFile(filepath.Join(common.Home, "server.pid"), fmt.Append(nil, pid), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			} else if c.known {
				pid := apart(t, "sleep 61 >/dev/null 2>&1 & echo $!")
				if err := os.WriteFile(filepath.Join(common.Home, "server.pid"), fmt.Append(nil, pid), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			foreign := 0
			if c.foreignHolds {
				foreign = apart(t, "sleep 61 <"+file+" >/dev/null 2>&1 & echo $!")
			}
			status := "exit 0"
			if c.stopped {
				status = "exit 3"
			}
			control := New(Args{Manager: ByCommand, StatusCommand: status, URL: "http://127.0.0.1:1"}, common)
			var list []process.Process
			for range 50 { // the child may not have started yet
				var err error
				if list, _, err = control.Foreign(t.Context()); err != nil {
					t.Fatal(err)
				}
				if len(list) > 0 {
					break
				}
			}
			if c.want != (len(list) == 1 && list[0].PID == foreign) || !c.want && len(list) > 0 {
				t.Fatalf("found %v, foreign is %d", list, foreign)
			}
			if c.want && !strings.Contains(ForeignWarnings(list)[0], fmt.Sprintf("sleep (pid %d) of user %s has %s open", foreign, list[0].Owner(), file)) {
				t.Errorf("%q", ForeignWarnings(list))
			}
		})
	}
}
