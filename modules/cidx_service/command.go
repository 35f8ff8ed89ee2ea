package service

import (
	"context"
	"fmt"
	"time"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/program"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// byCommand runs the operator's three commands. The hold file is made for them
// as well: a wrapper may honour it.
type byCommand struct {
	service.Control
}

func (m byCommand) prepare(ctx context.Context) (record, error) {
	state, err := m.Status(ctx)
	if err != nil {
		return record{}, err
	}
	r := record{Time: time.Now().UTC(), Manager: service.ByCommand}
	r.Server = service.Unit{Active: "inactive"}
	if state.Running {
		r.Server.Active = "active"
	}
	return r, nil
}

func (m byCommand) stopSteps(ctx context.Context, _ record) ([]step, error) {
	hold := m.Place().Hold()
	held, err := durable.Exists(hold)
	if err != nil {
		return nil, err
	}
	state, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	var steps []step
	if !held {
		steps = append(steps, step{"make " + hold, func(context.Context) error { return writeHold(hold) }})
	}
	if !state.Stopped {
		steps = append(steps, step{"run service_stop_command", func(ctx context.Context) error {
			return m.change(ctx, "service_stop_command", m.Stop, func(s service.State) bool { return s.Stopped })
		}})
	}
	return steps, nil
}

func (m byCommand) startSteps(ctx context.Context) ([]step, error) {
	hold := m.Place().Hold()
	held, err := durable.Exists(hold)
	if err != nil {
		return nil, err
	}
	state, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	var steps []step
	if held {
		steps = append(steps, step{"remove " + hold, func(context.Context) error { return removeHold(hold) }})
	}
	if !state.Running {
		steps = append(steps, step{"run service_start_command", func(ctx context.Context) error {
			return m.change(ctx, "service_start_command", m.Start, func(s service.State) bool { return s.Running })
		}})
	}
	return steps, nil
}

func (m byCommand) releaseSteps(context.Context, record) ([]step, error) { return nil, nil }

func (m byCommand) differences(context.Context, record) ([]string, error) { return nil, nil }

// change runs a command and waits until the status command agrees.
func (m byCommand) change(
	ctx context.Context, name string, do func(context.Context) (program.Output, error), reached func(service.State) bool,
) error {
	start := time.Now()
	out, err := do(ctx)
	if err != nil {
		return problem.Problem{What: err.Error(), At: name, Fix: "run the command by hand, then the playbook again"}
	}
	for {
		state, err := m.Status(ctx)
		if err != nil {
			return err
		}
		switch waited := time.Since(start); {
		case reached(state):
			return nil
		case out.Code != 0:
			return problem.Problem{
				What: fmt.Sprintf("exit status %d: %s", out.Code, out.Brief()), At: name,
				Fix: "run the command by hand, then the playbook again",
			}
		case waited > m.Limit():
			return problem.Problem{
				What: fmt.Sprintf("service_status_command still gives %s after %d s", state.Word, int(waited.Seconds())),
				At:   name,
				Fix:  "see the server's log, or raise cidx_service_timeout",
			}
		default:
			progress.Report(ctx, progress.Status{
				What: "waiting for " + name, Done: int64(waited.Seconds()), Total: int64(m.Args.Timeout), Unit: "s",
			})
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}
