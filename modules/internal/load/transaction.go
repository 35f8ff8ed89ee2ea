package load

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// LockKey is the key of the advisory lock; any number that nobody else uses.
const LockKey = "6235118042716"

// begin opens the transaction and takes the lock that keeps a second migration
// out; after a kill the old session may need a moment to notice. All of it ends
// with the transaction.
func (p *Passage) begin(ctx context.Context) error {
	patience := p.Patience
	if p.Trial || p.Online {
		patience = p.Haste
	}
	// Releases before 14 do not look after the client.
	begin := `BEGIN; SET LOCAL lock_timeout = '` + patience + `'; SET LOCAL synchronous_commit = on;
		SELECT set_config(name, '2s', true) FROM pg_settings WHERE name = 'client_connection_check_interval'`
	if err := postgres.Run(ctx, p.Conn, begin); err != nil {
		return err
	}
	err := postgres.Run(ctx, p.Conn, "SELECT pg_advisory_xact_lock("+LockKey+")")
	if postgres.Code(err) == "55P03" {
		return problem.Problem{What: "another migration holds the lock", At: p.Where,
			Fix: "wait for it, or end its session (application_name " + Application + " in pg_stat_activity)"}
	}
	return err
}

// LockTables keeps everyone else from writing to the target tables.
func (p *Passage) LockTables(ctx context.Context) error {
	const lock, mode = "LOCK TABLE ", " IN SHARE ROW EXCLUSIVE MODE"
	if p.All {
		return p.each(ctx, p.Tables, func(t *Transfer) error {
			name := t.To.Qualified() // the other statements show which rights are lacking
			return postgres.Run(ctx, p.Conn, lock+name+mode+"; SELECT FROM "+name+" LIMIT 0; DELETE FROM "+name+" WHERE false")
		})
	}
	var names []string
	for _, t := range p.Tables {
		if t.Grows && p.Online {
			continue // nobody waits for us while the server runs
		}
		names = append(names, t.To.Qualified())
	}
	if len(names) == 0 {
		return nil
	}
	return postgres.Run(ctx, p.Conn, lock+strings.Join(names, ", ")+mode)
}

// blocked names the sessions that hold locks on the tables.
func (p *Passage) blocked(ctx context.Context, cause error) error {
	oids := Join(p.Tables, "", func(t *Transfer) string { return ", " + t.To.OID })
	rows, err := postgres.Rows(ctx, p.Conn, `SELECT DISTINCT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), '?'),
		coalesce(host(a.client_addr), 'local'), a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.granted AND l.relation IN (0`+oids+`) AND a.pid <> pg_backend_pid() ORDER BY 1`)
	if err != nil || len(rows) == 0 {
		return p.Explain(cause)
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("process %s (user %s, %s, from %s, %s)", row[0], row[1], row[2], row[3], row[4]))
	}
	return problem.Problem{What: "other sessions hold locks on CIDX's tables: " + Head(who, 5), At: p.Where,
		Fix: "stop every cluster node, end these sessions (wait for a backup such as pg_dump), then run again"}
}

// PostgreSQL runs deferred constraints and triggers at the commit, when nobody
// looks any more. So everything that the transaction writes is written, and
// everything deferred has run, before the comparison; after it nothing is
// written but sequences.

// RunDeferred runs what waits for the commit, and makes all that follows in
// this transaction run at once.
func (s *Session) RunDeferred(ctx context.Context) error {
	if err := postgres.Run(ctx, s.Conn, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("run deferred constraints and triggers: %w", err)
	}
	return nil
}

// Seal proves that nothing is left to run at the commit. A trigger can defer
// constraints again; what it has put off runs now, and is seen as rows written.
func (s *Session) Seal(ctx context.Context) error {
	before, err := s.written(ctx)
	if err != nil {
		return err
	}
	if err := s.RunDeferred(ctx); err != nil {
		return err
	}
	after, err := s.written(ctx)
	if err == nil && after != before {
		err = problem.Problem{What: "a trigger puts off what it does until after the comparison", At: s.Where,
			Fix: "nothing was committed; find the trigger that runs SET CONSTRAINTS (pg_trigger, pg_proc) and disable it for the migration"}
	}
	return err
}

// written is how many rows this transaction has written so far, in all tables.
func (s *Session) written(ctx context.Context) (int64, error) {
	return postgres.Number(ctx, s.Conn, "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_all_tables")
}

// End commits, or takes everything back.
func (p *Passage) End(ctx context.Context) error {
	if p.Trial {
		return postgres.Run(ctx, p.Conn, "ROLLBACK")
	}
	err := postgres.Run(ctx, p.Conn, strings.Join(append(p.late, "COMMIT"), "; "))
	if err != nil && postgres.Lost(err) {
		return problem.Problem{What: "the connection was lost at the very commit; whether it was committed is not known", At: p.Where,
			Fix: "wait until PostgreSQL and the network are up, then run again: it looks whether the load is there, and goes on from that"}
	}
	p.Committed = err == nil
	return err
}

// within takes back what do has done if it fails.
func (s *Session) within(ctx context.Context, do func() error) error {
	if err := postgres.Run(ctx, s.Conn, "SAVEPOINT cidx"); err != nil {
		return err
	}
	err, end := do(), "RELEASE cidx"
	if err != nil {
		end = "ROLLBACK TO cidx; RELEASE cidx"
	}
	if ending := postgres.Run(ctx, s.Conn, end); err == nil {
		return ending
	}
	return err
}
