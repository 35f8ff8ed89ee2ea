package service

import (
	"context"
	"strings"
	"time"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// stop keeps everything from starting the server, stops it and proves it.
func (s *switcher) stop(ctx context.Context) error {
	found, err := s.manager.prepare(ctx)
	if err != nil {
		return err
	}
	r, known, err := readRecord(s.state)
	if err != nil {
		return err
	}
	if known {
		found = r.with(found)
	}
	steps, err := s.manager.stopSteps(ctx, found)
	if err != nil {
		return err
	}
	s.resting = found.resting()
	if len(steps) > 0 && !s.check {
		if err := s.begin(ctx, found, known); err != nil {
			return err
		}
	}
	if len(steps) > 0 && s.check {
		if err := s.foresee(ctx); err != nil {
			return err
		}
	}
	if err := s.perform(ctx, steps); err != nil {
		return s.undo(ctx, err)
	}
	s.msg = "the server is stopped and held"
	if s.check {
		if len(steps) > 0 {
			s.msg = "the server would be stopped"
		}
		return nil
	}
	if err := s.prove(ctx); err != nil {
		return err
	}
	if len(steps) > 0 && len(s.resting) > 0 {
		progress.Line(ctx, "  Resting until the end: %s", strings.Join(s.resting, ", "))
	}
	progress.Line(ctx, "  Server stopped: OK")
	if len(steps) == 0 {
		return nil
	}
	return s.note(ctx, "stopped", map[string]any{"resting": s.resting})
}

// foresee finds what a real stop would meet.
func (s *switcher) foresee(ctx context.Context) error {
	foreign, _, err := s.control.Foreign(ctx)
	if err != nil {
		return err
	}
	s.warnings = append(s.warnings, service.ForeignWarnings(foreign)...)
	s.earlier = s.control.History(ctx)
	return s.manager.runnable(ctx).Err()
}

// undo gives everything back when a stop fails while the server still runs:
// nothing has happened yet, so nothing may stay changed. It returns cause, with
// what went wrong besides.
func (s *switcher) undo(ctx context.Context, cause error) error {
	// A run that is interrupted (cancelled) still has to clean up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.control.Limit())
	defer cancel()
	state, err := s.control.Status(ctx)
	if err != nil || !state.Running {
		return cause
	}
	plan := s.plan
	defer func() { s.plan = plan }()
	steps, err := s.manager.startSteps(ctx)
	if err == nil {
		err = s.perform(ctx, steps)
	}
	if err == nil {
		err = s.release(ctx)
	}
	if err != nil {
		problems := problem.Of(cause)
		problems.Add(err)
		return problems
	}
	plan, s.resting, s.warnings = nil, nil, append(s.warnings, "the server still runs; its units were given back")
	return cause
}

// begin records the units' states once, before anything is changed.
func (s *switcher) begin(ctx context.Context, r record, known bool) error {
	if !known {
		if err := s.note(ctx, "stopping", map[string]any{"server": r.Server.Active}); err != nil {
			return err
		}
	}
	return r.write(s.state)
}

// prove waits a moment for the server's children, then gathers every sign of life.
func (s *switcher) prove(ctx context.Context) error {
	const grace = 10 * time.Second
	until := time.Now().Add(min(grace, s.control.Limit()))
	for {
		detail, unseen, problems := s.control.Prove(ctx)
		s.server = detail
		if len(problems) == 0 {
			if unseen != "" {
				progress.Line(ctx, "  Stopped: %s; %s", detail, unseen)
			}
			s.proven = []ansible.Check{{Name: "Server stopped", OK: true, Detail: strings.TrimSuffix(detail+"; "+unseen, "; ")}}
			return nil
		}
		if time.Now().After(until) {
			return problems
		}
		progress.Report(ctx, progress.Status{What: "waiting for the server to end", Unit: "s"})
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
}

// performThenCompare runs all steps but the last, looks whether the units are
// as recorded, and only then lets the last one forget the record.
func (s *switcher) performThenCompare(ctx context.Context, steps []step, r record) error {
	last := len(steps) - 1
	if err := s.perform(ctx, steps[:last]); err != nil {
		return err
	}
	differences, err := s.manager.differences(ctx, r)
	if err != nil {
		return err
	}
	s.warnings = append(s.warnings, differences...)
	return s.perform(ctx, steps[last:])
}

// pause sleeps unless the run is interrupted.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
