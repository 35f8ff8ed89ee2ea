package service

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// bySystemd works on units.
type bySystemd struct {
	service.Control
	systemd service.Systemd
}

func (m bySystemd) prepare(ctx context.Context) (record, error) {
	units, err := m.systemd.Discover(ctx, m.Server(), m.extra())
	if err != nil {
		return record{}, problem.Problem{
			What: err.Error(), At: "systemctl",
			Fix: "run on a node with systemd, as root (ansible_become), or set cidx_service_manager to command",
		}
	}
	if units.Server.ID == "" || units.Server.Load == "not-found" {
		return record{}, problem.Problem{
			What: "no such unit", At: m.Server(),
			Fix: "set cidx_service_unit to the unit that runs the CIDX server (systemctl list-units '*cidx*')",
		}
	}
	if !m.Scope.Allowed {
		return record{}, problem.Problem{What: "only root may stop and hold units", At: m.Server(), Fix: m.Scope.Remedy()}
	}
	return record{Time: time.Now().UTC(), Manager: service.BySystemd, Units: units}, nil
}

func (m bySystemd) extra() []string {
	var names []string
	for _, name := range m.Quiesce {
		if !strings.Contains(name, ".") {
			name += ".service"
		}
		names = append(names, name)
	}
	return names
}

// stopSteps holds first and stops then, so that nothing can start in between.
func (m bySystemd) stopSteps(ctx context.Context, r record) ([]step, error) {
	steps, err := m.holdSteps(ctx, r)
	if err != nil {
		return nil, err
	}
	now, err := m.systemd.Show(ctx, r.ids()...)
	if err != nil {
		return nil, err
	}
	var running, triggers []string
	for _, u := range now {
		switch {
		case u.Stopped() || u.ID == m.Server():
		case u.Trigger():
			triggers = append(triggers, u.ID)
		default:
			running = append(running, u.ID)
		}
	}
	if len(triggers) > 0 {
		stop := func(ctx context.Context) error { return m.stopUnits(ctx, triggers) }
		steps = append(steps, step{"stop " + strings.Join(triggers, ", "), stop})
	}
	if len(running) > 0 {
		quiet := func(ctx context.Context) error { return m.quiet(ctx, running) }
		steps = append(steps, step{"wait for or stop " + strings.Join(running, ", "), quiet})
	}
	for _, u := range now {
		if u.ID == m.Server() && !u.Stopped() {
			steps = append(steps, step{"stop " + u.ID, func(ctx context.Context) error { return m.stopUnits(ctx, []string{u.ID}) }})
		}
	}
	return steps, nil
}

// stopUnits stops units. Whoever starts one at the same moment replaces our job
// (systemd calls it cancelled); that start is refused, and we ask again.
func (m bySystemd) stopUnits(ctx context.Context, ids []string) error {
	err := m.systemd.Stop(ctx, m.Limit(), ids...)
	for until := time.Now().Add(m.Limit()); err != nil && strings.Contains(err.Error(), "canceled") && time.Now().Before(until); {
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		err = m.systemd.Stop(ctx, m.Limit(), ids...)
	}
	if err != nil {
		return problem.Problem{
			What: err.Error(), At: strings.Join(ids, ", "),
			Fix: "stop it by hand (" + m.Scope.Systemctl("") + " stop), or raise cidx_service_timeout, then run again",
		}
	}
	return nil
}

// quiet waits for oneshot services (a running updater must not be torn apart:
// it rewrites config.json and the installation) and stops the others.
func (m bySystemd) quiet(ctx context.Context, ids []string) error {
	start := time.Now()
	for {
		now, err := m.systemd.Show(ctx, ids...)
		if err != nil {
			return err
		}
		var oneshot, others []string
		for _, u := range now {
			switch {
			case u.Stopped():
			case u.Type == "oneshot" && u.Active != "active":
				oneshot = append(oneshot, u.ID)
			default:
				others = append(others, u.ID)
			}
		}
		if len(others) > 0 {
			if err := m.stopUnits(ctx, others); err != nil {
				return err
			}
		}
		if len(oneshot) == 0 {
			return nil
		}
		if time.Since(start) > m.Limit() {
			return problem.Problem{
				What: fmt.Sprintf("still running after %d s", m.Args.Timeout), At: strings.Join(oneshot, ", "),
				Fix: "wait until it has finished and run again, or raise cidx_service_timeout; the server was not stopped",
			}
		}
		progress.Report(ctx, progress.Status{
			What: "waiting for " + strings.Join(oneshot, ", "),
			Done: int64(time.Since(start).Seconds()), Total: int64(m.Args.Timeout), Unit: "s",
		})
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// startSteps lets only the server go.
func (m bySystemd) startSteps(ctx context.Context) ([]step, error) {
	id, hold := m.Server(), m.Place().Hold()
	state, err := m.Status(ctx)
	if err != nil {
		return nil, err
	}
	steps, err := m.letGo(hold, []string{id})
	if err != nil {
		return nil, err
	}
	if !state.Running {
		steps = append(steps, step{"start " + id, m.startServer})
	}
	return steps, nil
}

// startServer starts the unit and sees it stay: a simple service is "active"
// before it has read its configuration.
func (m bySystemd) startServer(ctx context.Context) error {
	id := m.Server()
	trouble := func(what string) error {
		return problem.Problem{
			What: what, At: id,
			Fix: "see " + m.Scope.Journalctl() + " -u " + id + "; the cluster's data is complete, so run cluster-migrate.yml " +
				"again once it starts, or cluster-rollback.yml",
		}
	}
	if err := m.systemd.ResetFailed(ctx, id); err != nil {
		return trouble(err.Error())
	}
	if err := m.systemd.Start(ctx, m.Limit(), id); err != nil {
		return trouble(err.Error())
	}
	const steady = 3
	for seen, pid, start := 0, 0, time.Now(); seen < steady; {
		units, err := m.systemd.Show(ctx, id)
		if err != nil {
			return trouble(err.Error())
		}
		u := units[0]
		switch {
		case u.Active == "failed":
			return trouble("the server failed to start")
		case u.Stopped() && !u.Condition:
			return trouble("a condition of the unit keeps it from starting")
		case u.Active == "active" && (pid == 0 || pid == u.PID):
			seen, pid = seen+1, u.PID
		default:
			seen, pid = 0, 0 // it was restarted; look at the new one
		}
		if time.Since(start) > m.Limit() {
			return trouble(fmt.Sprintf("the server is %s (%s) after %d s", u.Active, u.Sub, m.Args.Timeout))
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
