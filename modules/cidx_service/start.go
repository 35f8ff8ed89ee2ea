package service

import (
	"context"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/problem"
)

// start lets the server run, and starts it.
func (s *switcher) start(ctx context.Context) error {
	r, _, err := readRecord(s.state)
	if err != nil {
		return err
	}
	s.resting = r.resting()
	steps, err := s.manager.startSteps(ctx)
	if err != nil {
		return err
	}
	if steps, err = s.unstarted(ctx, steps); err != nil {
		return err
	}
	if len(steps) > 0 {
		if err := s.whole(ctx); err != nil {
			return err
		}
		if err := s.rests(ctx); err != nil {
			return err
		}
	}
	if len(steps) > 0 && !s.check && !s.leave {
		if err := s.note(ctx, "starting", nil); err != nil {
			return err
		}
	}
	if err := s.perform(ctx, steps); err != nil {
		return err
	}
	s.msg = "the server runs"
	switch {
	case s.leave:
		s.msg = "nothing keeps the server from starting"
		return nil
	case s.check:
		s.msg = "the server would be started"
		return nil
	}
	state, err := s.control.Status(ctx)
	s.server = state.Word
	if err != nil || len(steps) == 0 {
		return err
	}
	return s.note(ctx, "started", nil)
}

// unstarted leaves the start itself out where the server is only let go.
func (s *switcher) unstarted(ctx context.Context, steps []step) ([]step, error) {
	if !s.leave {
		return steps, nil
	}
	state, err := s.control.Status(ctx)
	if err != nil || state.Running {
		return steps, err
	}
	return steps[:len(steps)-1], nil
}

// rests proves again that nothing runs, before the hold goes: what was started
// behind its back works on a home in the middle of the change.
func (s *switcher) rests(ctx context.Context) error {
	now, err := s.control.ReadHome(ctx)
	if err != nil {
		return err
	}
	held, err := inForce(s.state.Hold(), now.Changed)
	if err != nil || !held {
		return err
	}
	return s.control.RunsNot(ctx)
}

// whole is nil where the home is that of a standalone server or of a migrated
// one. In between nothing may start: a server that was joined and not migrated
// runs on an empty PostgreSQL and deletes what it does not find there.
func (s *switcher) whole(ctx context.Context) error {
	at := s.control.Common.Home
	now, err := s.control.ReadHome(ctx)
	if err == nil {
		err = now.Problems.Err()
	}
	if err != nil {
		return err
	}
	standing := now.Standing
	const fix = "run cluster-migrate.yml without --tags to finish the migration, or cluster-rollback.yml to undo it"
	switch {
	case standing.Begun == home.ToStandalone:
		return problem.Problem{What: "not started: a rollback was interrupted", At: at, Fix: "run cluster-rollback.yml, which finishes it"}
	case standing.Begun == home.ToNode || standing.Begun == home.Apart:
		return problem.Problem{
			What: "not started: the change of this node is not finished", At: at,
			Fix: "run cluster-node.yml again as it was called, which finishes it",
		}
	case now.Mode == cidx.ModePostgres && !standing.Migrated() && !standing.Node():
		return problem.Problem{What: "not started: config.json names PostgreSQL, but the data was not migrated", At: at, Fix: fix}
	case standing.Begun != "":
		return problem.Problem{What: "not started: the cut-over is not finished", At: at, Fix: fix}
	}
	return nil
}

// release gives the resting units back.
func (s *switcher) release(ctx context.Context) error {
	r, known, err := readRecord(s.state)
	if err != nil {
		return err
	}
	if held, err := durable.Exists(s.state.Hold()); err != nil || held {
		if err != nil {
			return err
		}
		return problem.Problem{
			What: "the server is still held", At: s.state.Hold(),
			Fix: "start it first (cidx_service with state started, or cluster-rollback.yml)",
		}
	}
	steps, err := s.manager.releaseSteps(ctx, r)
	if err != nil {
		return err
	}
	if known {
		steps = append(steps, step{"forget the record " + s.state.Units(), func(context.Context) error { return forget(s.state) }})
	}
	s.msg = "all units are as they were before the stop"
	if s.check {
		return s.perform(ctx, steps)
	}
	if known {
		// Before the record goes: whoever is interrupted here finds it and asks again.
		defer func() { s.server = r.Server.Active }()
	}
	if len(steps) > 0 && known {
		if err := s.performThenCompare(ctx, steps, r); err != nil {
			return err
		}
		return s.note(ctx, "released", map[string]any{"units": r.ids()})
	}
	return s.perform(ctx, steps)
}
