package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/program"
	"cidx-cluster/modules/internal/service"
)

func ask(t *testing.T, a args, c service.Control, state string) ansible.Reply {
	t.Helper()
	a.Wanted = state
	reply, err := run(context.Background(), a, ansible.Mode{}, c)
	if err != nil {
		t.Fatalf("%s: %v", state, err)
	}
	return reply
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestStoppedStartedReleased(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	before := m.states()
	if r := ask(t, a, c, "stopped"); !r.Changed || len(r.Checks) != 1 || !strings.Contains(r.Checks[0].Detail, "no open database") {
		t.Errorf("stopped: changed %v, checks %v", r.Changed, r.Checks)
	}
	for id, state := range map[string]string{"cidx-server.service": "inactive", "cidx-auto-update.timer": "inactive", "watch-it.service": "inactive", "ssh.service": "active", "backup.timer": "active"} {
		if m.units[id].Active != state {
			t.Errorf("%s is %s after the stop", id, m.units[id].Active)
		}
	}
	// Nothing can start it: not an updater, not a power cut.
	m.updates()
	m.boot()
	m.updates()
	if u := m.units["cidx-server.service"]; u.Active != "inactive" {
		t.Errorf("the server was started while it is held: %s", u.Active)
	}
	if u := m.units["cidx-auto-update.timer"]; u.Active != "inactive" {
		t.Errorf("the timer runs after a power cut: %s", u.Active)
	}
	m.units["watch-it.service"].Active = "inactive"
	if r := ask(t, a, c, "stopped"); r.Changed {
		t.Errorf("a second stop changes: %v", r.Data["plan"])
	}
	if r := ask(t, a, c, "started"); !r.Changed {
		t.Error("started: changed is false")
	}
	if u := m.units["cidx-server.service"]; u.Active != "active" {
		t.Errorf("the server is %s", u.Active)
	}
	m.change("start", "cidx-auto-update.timer")
	if u := m.units["cidx-auto-update.timer"]; u.Active != "inactive" {
		t.Error("the timer may run before the migration is accepted")
	}
	if r := ask(t, a, c, "started"); r.Changed {
		t.Errorf("a second start changes: %v", r.Data["plan"])
	}
	if r := ask(t, a, c, "released"); !r.Changed || len(r.Warnings) > 0 {
		t.Errorf("released: %+v", r)
	}
	if diff := cmp.Diff(before, m.states()); diff != "" {
		t.Errorf("units are not as before:\n%s", diff)
	}
	if left, _ := filepath.Glob(filepath.Join(m.root, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, path := range []string{c.Common.State().Hold(), c.Common.State().HoldUpdates(), c.Common.State().Units()} {
		if there(path) {
			t.Errorf("left behind: %s", path)
		}
	}
	if r := ask(t, a, c, "released"); r.Changed {
		t.Errorf("a second release changes: %v", r.Data["plan"])
	}
}

func TestTheRecordIsOfBeforeTheFirstChange(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	m.fails["stop cidx-server.service"] = nil
	ask(t, a, c, "stopped")
	first, err := os.ReadFile(c.Common.State().Units())
	if err != nil {
		t.Fatal(err)
	}
	m.change("start", "off.timer") // somebody fiddles with it; it is held
	ask(t, a, c, "stopped")
	if now, _ := os.ReadFile(c.Common.State().Units()); string(now) != string(first) {
		t.Error("the record was written again")
	}
	var r record
	if err := json.Unmarshal(first, &r); err != nil || r.Server.Active != "active" {
		t.Errorf("record %s: %v", first, err)
	}
}

func TestHeldBeforeAnythingIsStopped(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	m.on = func(verb, id string) {
		if verb == "stop" && (!there(c.Common.State().Hold()) || !there(c.Common.State().HoldUpdates()) || m.loaded["cidx-server.service"] == nil) {
			t.Errorf("stop %s before the hold", id)
		}
	}
	ask(t, a, c, "stopped")
	stops := slices.DeleteFunc(m.log, func(l string) bool { return !strings.HasPrefix(l, "stop") })
	if len(stops) < 3 || !strings.Contains(stops[0], "timer") || stops[len(stops)-1] != "stop cidx-server.service" {
		t.Errorf("order: %q", stops)
	}
}

func TestARunningUpdaterIsWaitedFor(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	updater := m.units["cidx-auto-update.service"]
	updater.Active = "activating"
	shows := 0
	c.Runner = runner(func(ctx context.Context, command program.Command) (program.Output, error) {
		if slices.Contains(command.Argv, "show") && command.Argv[len(command.Argv)-1] != "cidx-server.service" {
			if shows++; shows == 5 {
				m.updates() // its last deed
				updater.Active = "inactive"
			}
		}
		for _, word := range command.Argv {
			if word == "stop" && slices.Contains(command.Argv, updater.ID) {
				t.Error("the updater was torn apart")
			}
		}
		return m.Run(ctx, command)
	})
	ask(t, a, c, "stopped")
	if m.units["cidx-server.service"].Active != "inactive" {
		t.Error("the updater got the server started")
	}
}

func TestAnUpdaterThatDoesNotEndLeavesEverythingAsItWas(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 1)
	m.units["cidx-auto-update.service"].Active = "activating"
	before := m.states()
	a.Wanted = "stopped"
	reply, err := run(context.Background(), a, ansible.Mode{}, c)
	if err == nil || !strings.Contains(err.Error(), "cidx-auto-update.service: still running after 1 s") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, m.states()); diff != "" || reply.Changed {
		t.Errorf("changed %v:\n%s", reply.Changed, diff)
	}
	if left, _ := filepath.Glob(filepath.Join(m.root, "*")); len(left) > 0 || there(c.Common.State().Hold()) || there(c.Common.State().Units()) {
		t.Errorf("left behind: %q", left)
	}
}

func TestAServerThatDoesNotStayUpIsAProblem(t *testing.T) {
	cases := map[string]struct {
		break_ func(m *machine, u *service.Unit)
		what   string
	}{
		"it fails":              {func(_ *machine, u *service.Unit) { u.Active = "failed" }, "failed to start"},
		"it restarts for ever":  {func(_ *machine, u *service.Unit) { u.Active, u.Sub = "activating", "auto-restart" }, "activating (auto-restart)"},
		"another condition":     {func(_ *machine, u *service.Unit) { u.Active, u.Condition = "inactive", false }, "a condition"},
		"systemd does not know": {func(m *machine, u *service.Unit) { m.fails["start "+u.ID] = errors.New("no") }, "no"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			a, control := m.node(t, 1)
			ask(t, a, control, "stopped")
			u := m.units["cidx-server.service"]
			control.Runner = runner(func(ctx context.Context, command program.Command) (program.Output, error) {
				out, err := m.Run(ctx, command)
				if slices.Contains(command.Argv, "start") {
					c.break_(m, u)
					if e := m.fails["start "+u.ID]; e != nil {
						return out, e
					}
				}
				return out, err
			})
			a.Wanted = "started"
			_, err := run(context.Background(), a, ansible.Mode{}, control)
			if err == nil || !strings.Contains(err.Error(), c.what) || !strings.Contains(err.Error(), "cluster-rollback.yml") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReleaseWaitsForTheStart(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	ask(t, a, c, "stopped")
	a.Wanted = "released"
	if _, err := run(context.Background(), a, ansible.Mode{}, c); err == nil || !strings.Contains(err.Error(), "still held") {
		t.Errorf("got %v", err)
	}
	if m.units["cidx-auto-update.timer"].Active != "inactive" {
		t.Error("the timer was released")
	}
}

func TestCheckModeTouchesNothing(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	before := m.states()
	for _, state := range []string{"stopped", "started", "released"} {
		a.Wanted = state
		reply, err := run(context.Background(), a, ansible.Mode{Check: true}, c)
		if err != nil {
			t.Fatalf("%s: %v", state, err)
		}
		if want := state == "stopped"; reply.Changed != want {
			t.Errorf("%s: plan %v", state, reply.Data["plan"])
		}
	}
	if diff := cmp.Diff(before, m.states()); diff != "" || len(m.log) > 0 || there(string(c.Common.State())) {
		t.Errorf("log %q\n%s", m.log, diff)
	}
}

func TestRefusals(t *testing.T) {
	cases := map[string]struct {
		spoil func(a *args, c *service.Control, m *machine)
		what  string
	}{
		"a unit that does not exist": {func(a *args, c *service.Control, _ *machine) { a.Unit, c.Unit = "cidx", "cidx" }, "cidx.service: no such unit"},
		"no systemd": {func(_ *args, c *service.Control, _ *machine) {
			c.Runner = runner(func(context.Context, program.Command) (program.Output, error) {
				return program.Output{Code: 1, Text: "System has not been booted with systemd as init system (PID 1)."}, nil
			})
		}, "has not been booted with systemd"},
		"a hung daemon-reload": {func(_ *args, c *service.Control, m *machine) {
			c.Runner = runner(func(ctx context.Context, command program.Command) (program.Output, error) {
				if slices.Contains(command.Argv, "daemon-reload") {
					return program.Output{}, fmt.Errorf("run systemctl: %w", program.ErrDeadline)
				}
				return m.Run(ctx, command)
			})
		}, "dead NFS mount"},
		"no commands":      {func(a *args, _ *service.Control, _ *machine) { a.Manager = service.ByCommand }, "cidx_service_status_command"},
		"a silly time-out": {func(a *args, _ *service.Control, _ *machine) { a.Timeout = 0 }, "service_timeout"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			a, control := m.node(t, 2)
			a.Wanted = "stopped"
			c.spoil(&a, &control, m)
			_, err := run(context.Background(), a, ansible.Mode{}, control)
			if err == nil || !strings.Contains(err.Error(), c.what) {
				t.Errorf("got %v", err)
			}
			if m.units["cidx-server.service"].Active != "active" {
				t.Error("the server was stopped")
			}
		})
	}
}

type runner func(context.Context, program.Command) (program.Output, error)

func (r runner) Run(ctx context.Context, c program.Command) (program.Output, error) { return r(ctx, c) }

func TestAStopThatAnotherStartCancelsIsAskedForAgain(t *testing.T) {
	m := newMachine(t)
	a, c := m.node(t, 5)
	cancelled := 2
	c.Runner = runner(func(ctx context.Context, command program.Command) (program.Output, error) {
		if cancelled > 0 && slices.Contains(command.Argv, "stop") && slices.Contains(command.Argv, "cidx-server.service") {
			cancelled--
			return program.Output{Code: 1, Text: "Job for cidx-server.service canceled."}, nil
		}
		return m.Run(ctx, command)
	})
	ask(t, a, c, "stopped")
	if u := m.units["cidx-server.service"]; u.Active != "inactive" || cancelled != 0 {
		t.Errorf("the server is %s, %d jobs left to cancel", u.Active, cancelled)
	}
}
