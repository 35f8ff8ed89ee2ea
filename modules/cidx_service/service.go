// Package service is the module cidx_service: it stops the CIDX server and
// everything that could start it, starts it again, and at the end gives the
// other units back.
//
// stopped: a hold file and drop-ins forbid every start, updater and watchdog
// rest, a running updater is waited for, the server is stopped and proven
// stopped (unit, process, port, open databases). started: the server alone may
// run and does. released: the other units are as they were before the stop.
// Each is idempotent, and a killed one is finished by asking again.
package service

import (
	"context"
	"errors"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
)

// name of the module in the journal.
const name = "cidx_service"

// args are described in plugins/modules/cidx_service.yml.
type args struct {
	home.Common
	service.Args
	Wanted string `arg:"state" required:"true" choices:"stopped,started,freed,released,status"`
}

// Module returns cidx_service.
func Module() ansible.Module {
	spec := ansible.Spec{Name: name, Root: true, Errands: service.Errands()}
	return ansible.New(spec, func(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
		c, err := service.New(a.Args, a.Common).In(ctx, mode.ByRoot).For(ctx, mode.For)
		if err != nil {
			return ansible.Reply{}, err
		}
		return run(ctx, a, mode, c)
	})
}

// run does what is wanted with control c, which tests replace.
func run(ctx context.Context, a args, mode ansible.Mode, c service.Control) (ansible.Reply, error) {
	if err := a.Validate().Err(); err != nil {
		return ansible.Reply{}, err
	}
	if a.Wanted == "status" {
		return status(ctx, c)
	}
	s := &switcher{control: c, state: c.Place(), check: mode.Check, manager: managerOf(c)}
	var err error
	switch a.Wanted {
	case "stopped":
		err = s.stop(ctx)
	case "started", "freed":
		s.leave = a.Wanted == "freed"
		err = s.start(ctx)
	default:
		err = s.release(ctx)
	}
	reply := ansible.Reply{
		Changed: len(s.plan) > 0, Msg: s.msg, Warnings: s.warnings, Checks: s.proven,
		Data: map[string]any{"plan": listed(s.plan), "resting": listed(s.resting), "server": s.server, "earlier": s.earlier},
	}
	if err != nil {
		reply.Msg = "" // the problems say it
	}
	return reply, err
}

// status asks the manager whether the server runs. It has no message: whoever asks
// says what it means.
func status(ctx context.Context, c service.Control) (ansible.Reply, error) {
	state, err := c.Status(ctx)
	if err != nil {
		return ansible.Reply{}, err
	}
	return ansible.Reply{Data: map[string]any{
		"server": state.Word, "running": state.Running, "stopped": state.Stopped, "systemctl": c.Scope.Systemctl("sudo "),
	}}, nil
}

// switcher does one request.
type switcher struct {
	control  service.Control
	manager  manager
	state    home.State // where hold and record lie
	check    bool
	leave    bool     // start: only let it
	plan     []string // what was done or would be
	resting  []string
	warnings []string
	server   string
	proven   []ansible.Check // that it is stopped
	earlier  service.History
	msg      string
}

// manager is what systemd and the three commands do differently.
type manager interface {
	// prepare finds what a stop has to deal with; nothing is changed.
	prepare(ctx context.Context) (record, error)
	// runnable finds what would keep the server from being stopped or started.
	runnable(ctx context.Context) problem.List
	// steps to stop, start (the last one, where the server does not run) and release; those already done are left out.
	stopSteps(ctx context.Context, r record) ([]step, error)
	startSteps(ctx context.Context) ([]step, error)
	releaseSteps(ctx context.Context, r record) ([]step, error)
	// differences between the units now and before the stop.
	differences(ctx context.Context, r record) ([]string, error)
}

// step is one change and its description.
type step struct {
	what string
	do   func(context.Context) error
}

// warning is the error of a step that could not be done completely, where
// nothing depends on it.
type warning string

func (w warning) Error() string { return string(w) }

func managerOf(c service.Control) manager {
	if c.Manager == service.ByCommand {
		return byCommand{c}
	}
	return bySystemd{c, c.Systemd()}
}

// perform runs steps in order, or only tells them in check mode.
func (s *switcher) perform(ctx context.Context, steps []step) error {
	for _, st := range steps {
		s.plan = append(s.plan, st.what)
		if s.check {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := st.do(ctx)
		if w, only := errors.AsType[warning](err); only {
			s.warnings = append(s.warnings, string(w))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listed is never null in the reply.
func listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *switcher) note(ctx context.Context, event string, data map[string]any) error {
	return s.control.Note(ctx, name, event, data)
}
