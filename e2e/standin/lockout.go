package standin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"cidx-cluster/e2e/standin/internal/schema"
)

// A cluster keeps wrong passwords in PostgreSQL, so that every node knows of them; a standalone server in its memory.

// enter takes one attempt of a user, or refuses it with 429.
func (s *Server) enter(ctx context.Context, name string, now time.Time) error {
	wait, locked := s.gate.enter(name, now)
	if s.cfg.cluster {
		row, err := s.store.Row1(ctx, "login_lockouts", "SELECT locked_until FROM login_lockouts WHERE username = ?", name)
		if err != nil {
			return err
		}
		if until, ok := row.Time("locked_until"); ok && until.After(now) {
			wait, locked = until.Sub(now), true
		}
	}
	switch {
	case locked:
		detail := fmt.Sprintf("account_locked: too many failed attempts, try again in %d seconds", int(wait.Seconds())+1)
		return &refusal{Status: http.StatusTooManyRequests, Detail: detail, Wait: wait}
	case wait > 0:
		return &refusal{Status: http.StatusTooManyRequests, Detail: "Too many login attempts", Wait: wait}
	}
	return nil
}

// failed notes a wrong password.
func (s *Server) failed(ctx context.Context, name string, now time.Time) error {
	lock := s.gate.failed(name, now)
	if !s.cfg.cluster {
		return nil
	}
	seconds := float64(now.UnixMicro()) / 1e6
	if err := s.store.Add(ctx, "login_failures", schema.Row{"username": name, "failed_at": seconds}); err != nil || !lock {
		return err
	}
	_, err := s.store.Exec(ctx, "login_lockouts", `INSERT INTO login_lockouts (username, locked_until) VALUES (?, ?)
		ON CONFLICT (username) DO UPDATE SET locked_until = EXCLUDED.locked_until`, name, seconds+lockWindow.Seconds())
	return err
}

// passed forgets the wrong passwords of a user who has logged in.
func (s *Server) passed(ctx context.Context, name string) error {
	s.gate.passed(name)
	if !s.cfg.cluster {
		return nil
	}
	_, err := s.store.Exec(ctx, "login_failures", "DELETE FROM login_failures WHERE username = ?", name)
	return err
}
