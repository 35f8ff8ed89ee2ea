package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
)

// lockTimeout is how long a lock is waited for: long enough for the session of
// a killed run to end, short enough for a night. While a rehearsal waits, others
// wait behind it.
var lockTimeout, trialTimeout = "15s", "2s"

// begin opens the transaction and takes the lock that keeps a second migration
// out. Settings hold for the transaction only.
func (p *passage) begin(ctx context.Context) error {
	patience := lockTimeout
	if p.trial || p.args.Phase == phaseWarm {
		patience = trialTimeout
	}
	settings := `BEGIN; SET LOCAL lock_timeout = '` + patience + `'; SET LOCAL synchronous_commit = on`
	if err := postgres.Run(ctx, p.conn, settings+`; SET LOCAL client_connection_check_interval = '2s'`); err != nil {
		if postgres.Code(err) != "42704" { // before PostgreSQL 14 there is no such check
			return err
		}
		if err := postgres.Run(ctx, p.conn, "ROLLBACK; "+settings); err != nil {
			return err
		}
	}
	if err := p.soleMigration(ctx); err != nil || p.trial {
		return err
	}
	if err := p.alone(ctx); err != nil {
		return err
	}
	// First: a server that was started here beats under this node's id as well.
	if err := service.StillStopped(ctx, p.args.Common); err != nil {
		return err
	}
	if err := nodes.Twin(ctx, p.conn, p.config.NodeID, p.where); err != nil {
		return err
	}
	// The marker may have come while we waited.
	m, err := loaded.Latest(ctx, p.conn)
	if err != nil {
		return err
	}
	if m != nil && m.RolledBack == "" && m.Source != p.held.replaces && (p.held.marker == nil || p.held.rolledBack()) {
		return problem.Problem{What: "another run has just finished the load", At: p.where, Fix: "run again"}
	}
	return nil
}

// lockKey is the key of the advisory lock; any number that nobody else uses.
const lockKey = "6235118042716"

// soleMigration takes the advisory lock, which ends with the transaction. After
// a kill the old session may need a moment to notice.
func (p *passage) soleMigration(ctx context.Context) error {
	err := postgres.Run(ctx, p.conn, "SELECT pg_advisory_xact_lock("+lockKey+")")
	if postgres.Code(err) == "55P03" {
		return problem.Problem{What: "another migration holds the lock", At: p.where,
			Fix: "wait for it, or end its session (application_name " + application + " in pg_stat_activity)"}
	}
	return err
}

// alone makes sure that no other node of the cluster works on the database. For a
// rehearsal cidx_precheck has looked.
func (p *passage) alone(ctx context.Context) error {
	if p.trial {
		return nil
	}
	return nodes.Alone(ctx, p.conn, p.config.NodeID, p.where)
}

// lockTables keeps everyone else from writing to the target tables.
func (p *passage) lockTables(ctx context.Context) error {
	const lock, mode = "LOCK TABLE ", " IN SHARE ROW EXCLUSIVE MODE"
	if p.all {
		return p.each(ctx, p.tables, func(t *transfer) error {
			name := t.To.Qualified() // the other statements show which rights are lacking
			return postgres.Run(ctx, p.conn, lock+name+mode+"; SELECT FROM "+name+" LIMIT 0; DELETE FROM "+name+" WHERE false")
		})
	}
	var names []string
	for _, t := range p.tables {
		if t.Grows && p.args.Phase == phaseWarm {
			continue // nobody waits for us while the server runs
		}
		names = append(names, t.To.Qualified())
	}
	if len(names) == 0 {
		return nil
	}
	return postgres.Run(ctx, p.conn, lock+strings.Join(names, ", ")+mode)
}

// blocked names the sessions that hold locks on the tables.
func (p *passage) blocked(ctx context.Context, cause error) error {
	oids := load.Join(p.tables, "", func(t *transfer) string { return ", " + t.To.OID })
	rows, err := postgres.Rows(ctx, p.conn, `SELECT DISTINCT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), '?'),
		coalesce(host(a.client_addr), 'local'), a.state FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.granted AND l.relation IN (0`+oids+`) AND a.pid <> pg_backend_pid() ORDER BY 1`)
	if err != nil || len(rows) == 0 {
		return p.explain(cause)
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("process %s (user %s, %s, from %s, %s)", row[0], row[1], row[2], row[3], row[4]))
	}
	return problem.Problem{What: "other sessions hold locks on CIDX's tables: " + head(who, 5), At: p.where,
		Fix: "stop every cluster node, end these sessions (wait for a backup such as pg_dump), then run again"}
}

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
