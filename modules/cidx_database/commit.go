package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
)

// PostgreSQL runs deferred constraints and triggers at the commit, when nobody
// looks any more. So everything that the transaction writes is written, and
// everything deferred has run, before the comparison; after it nothing is
// written but sequences.

// runDeferred runs what waits for the commit, and makes all that follows in
// this transaction run at once.
func (s *session) runDeferred(ctx context.Context) error {
	if err := postgres.Run(ctx, s.conn, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("run deferred constraints and triggers: %w", err)
	}
	return nil
}

// seal proves that nothing is left to run at the commit. A trigger can defer
// constraints again; what it has put off runs now, and is seen as rows written.
func (s *session) seal(ctx context.Context) error {
	before, err := s.written(ctx)
	if err != nil {
		return err
	}
	if err := s.runDeferred(ctx); err != nil {
		return err
	}
	after, err := s.written(ctx)
	if err == nil && after != before {
		err = problem.Problem{What: "a trigger puts off what it does until after the comparison", At: s.set.where,
			Fix: "nothing was committed; find the trigger that runs SET CONSTRAINTS (pg_trigger, pg_proc) and disable it for the migration"}
	}
	return err
}

// written is how many rows this transaction has written so far, in all tables.
func (s *session) written(ctx context.Context) (string, error) {
	rows, err := postgres.Rows(ctx, s.conn, "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_all_tables")
	if err != nil {
		return "", fmt.Errorf("count rows written: %w", err)
	}
	return string(rows[0][0]), nil
}

// commit ends the transaction, unless something has started the server meanwhile.
func (p *passage) commit(ctx context.Context) error {
	if err := service.StillStopped(ctx, p.args.Common); err != nil {
		return err
	}
	err := postgres.Run(ctx, p.conn, strings.Join(append(p.late, "COMMIT"), "; "))
	if err != nil && postgres.Lost(err) {
		return problem.Problem{What: "the connection was lost at the very commit; whether it was committed is not known", At: p.where,
			Fix: "wait until PostgreSQL and the network are up, then run again: it looks whether the load is there, and goes on from that"}
	}
	p.committed = err == nil
	return err
}

// within takes back what do has done if it fails.
func (s *session) within(ctx context.Context, do func() error) error {
	if err := postgres.Run(ctx, s.conn, "SAVEPOINT cidx"); err != nil {
		return err
	}
	err, end := do(), "RELEASE cidx"
	if err != nil {
		end = "ROLLBACK TO cidx; RELEASE cidx"
	}
	if ending := postgres.Run(ctx, s.conn, end); err == nil {
		return ending
	}
	return err
}
