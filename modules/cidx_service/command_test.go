package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/service"
)

// byCommands is a home whose server is a file.
func byCommands(t *testing.T) (args, service.Control, string) {
	common := home.Common{Home: t.TempDir()}
	flag := filepath.Join(t.TempDir(), "runs")
	a := service.Args{
		Manager: service.ByCommand, Timeout: 2, URL: "http://127.0.0.1:1",
		StartCommand:  `test ! -e "$CIDX_HOLD" && echo log line && touch ` + flag,
		StopCommand:   "rm " + flag,
		StatusCommand: "test -e " + flag + " || exit 3",
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return args{Common: common, Args: a}, service.New(a, common), flag
}

func TestCommandsStopAndStart(t *testing.T) {
	a, c, flag := byCommands(t)
	for _, want := range []struct {
		state            string
		changed, running bool
	}{{"started", false, true}, {"stopped", true, false}, {"stopped", false, false}, {"started", true, true}, {"released", true, true}, {"released", false, true}} {
		r := ask(t, a, c, want.state)
		if r.Changed != want.changed || there(flag) != want.running {
			t.Errorf("%s: changed %v, runs %v", want.state, r.Changed, there(flag))
		}
		if there(c.Common.State().Hold()) == want.running && want.state == "stopped" {
			t.Errorf("%s: hold exists: %v", want.state, there(c.Common.State().Hold()))
		}
	}
	if raw, err := os.ReadFile(c.Common.State().Path("service.log")); err != nil || string(raw) != "log line\n" {
		t.Errorf("the start command's output: %q, %v", raw, err)
	}
}

func TestStatusOnlyLooks(t *testing.T) {
	a, c, flag := byCommands(t)
	for _, runs := range []bool{true, false} {
		if !runs {
			if err := os.Remove(flag); err != nil {
				t.Fatal(err)
			}
		}
		r := ask(t, a, c, "status")
		if r.Changed || r.Data["running"] != runs || r.Data["stopped"] == runs || there(string(c.Common.State())) {
			t.Errorf("%+v", r)
		}
	}
	a.StatusCommand, c.StatusCommand = "exit 9", "exit 9"
	a.Wanted = "status"
	if _, err := run(t.Context(), a, ansible.Mode{}, c); err == nil || !strings.Contains(err.Error(), "exit status 9, neither 0 (running) nor 3") {
		t.Error(err)
	}
}

func TestCommandsThatFail(t *testing.T) {
	cases := map[string]struct {
		state string
		spoil func(a *service.Args, flag string)
		what  string
		runs  bool
	}{
		"the stop command fails":            {"stopped", func(a *service.Args, _ string) { a.StopCommand = "echo why not >&2; exit 7" }, "service_stop_command: exit status 7: why not", true},
		"the stop command lies":             {"stopped", func(a *service.Args, _ string) { a.StopCommand, a.Timeout = "true", 1 }, "still gives exit status 0", true},
		"the stop command hangs":            {"stopped", func(a *service.Args, _ string) { a.StopCommand, a.Timeout = "sleep 60", 1 }, "no answer in time", true},
		"the status command is something":   {"stopped", func(a *service.Args, _ string) { a.StatusCommand = "exit 4" }, "exit status 4, neither 0 (running) nor 3", true},
		"the start command fails":           {"started", func(a *service.Args, flag string) { os.Remove(flag); a.StartCommand = "echo no python; exit 1" }, "exit status 1: no python", false},
		"the start command leaves a logger": {"started", func(a *service.Args, flag string) { os.Remove(flag); a.StartCommand = "(sleep 3; echo late) & exit 1" }, "exit status 1", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, _, flag := byCommands(t)
			c.spoil(&a.Args, flag)
			if err := os.MkdirAll(string(a.State()), 0o700); err != nil {
				t.Fatal(err)
			}
			a.Wanted = c.state
			reply, err := run(context.Background(), a, ansible.Mode{}, service.New(a.Args, a.Common))
			if err == nil || !strings.Contains(err.Error(), c.what) {
				t.Errorf("got %v", err)
			}
			if there(flag) != c.runs {
				t.Errorf("runs: %v", there(flag))
			}
			if c.runs && (there(a.State().Hold()) || there(a.State().Units()) || reply.Changed) {
				t.Errorf("a server that still runs is held (changed: %v)", reply.Changed)
			}
		})
	}
}
