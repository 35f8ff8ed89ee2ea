package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// passage is the transaction that carries the rows of a snapshot over: prepare,
// copy, indexes, compare, and how it ends. An error leaves PostgreSQL as it was.
type passage struct {
	*runner
	end     func(*passage, context.Context) error // the last step: commits, or does not
	rebuild *postgres.Rebuild                     // what was dropped for the time of the copy
	late    []string                              // statements that no rollback takes back
}

// transfer loads for good.
func (r *runner) transfer(ctx context.Context) error {
	return (&passage{runner: r, end: (*passage).commit}).run(ctx)
}

func (p *passage) run(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.steps(ctx); err != nil {
		if rollback := postgres.Run(context.WithoutCancel(ctx), p.conn, "ROLLBACK"); rollback != nil && !postgres.Lost(rollback) && !p.conn.IsClosed() {
			return errors.Join(err, fmt.Errorf("roll back: %w", rollback))
		}
		if postgres.Code(err) == "55P03" {
			return p.blocked(ctx, err)
		}
		return err
	}
	return nil
}

// steps are the work between BEGIN and the end.
func (p *passage) steps(ctx context.Context) error {
	steps := []struct {
		part string // under which the time is booked
		do   func(*passage, context.Context) error
	}{
		{"lock", (*passage).makeMarkerTable},
		{"lock", (*passage).lockTables},
		{"lock", (*passage).clearTarget},
		{"lock", (*passage).dropIndexes},
		{"copy", (*passage).copyTables},
		{"copy", (*passage).runDeferred}, // what waits for the commit keeps tables from being altered, too
		{"indexes", (*passage).rebuildIndexes},
		{"indexes", (*passage).storeSecrets},
		{"indexes", (*passage).setSequences},
		{"verify", func(p *passage, _ context.Context) error { return p.source.unchanged() }},
		{"verify", (*passage).writeMarker},
		{"verify", (*passage).runDeferred},
		{"verify", (*passage).compare},
		{"verify", (*passage).compareSecrets},
		{"commit", (*passage).alone},
		{"commit", (*passage).seal},
		{"commit", p.end},
	}
	for _, step := range steps {
		err := step.do(p, ctx)
		p.clock.lap(step.part)
		if err != nil {
			return err
		}
	}
	return nil
}

// lockTimeout is how long a lock is waited for: long enough for the session of
// a killed run to end, short enough for a night.
var lockTimeout = "15s"

// begin opens the transaction and takes the lock that keeps a second migration
// out. Settings hold for the transaction only.
func (p *passage) begin(ctx context.Context) error {
	settings := `BEGIN; SET LOCAL lock_timeout = '` + lockTimeout + `'; SET LOCAL synchronous_commit = on; SET LOCAL client_connection_check_interval = '2s'`
	if err := postgres.Run(ctx, p.conn, settings); err != nil {
		if postgres.Code(err) != "42704" { // before PostgreSQL 14 there is no such check
			return err
		}
		if err := postgres.Run(ctx, p.conn, `ROLLBACK; BEGIN; SET LOCAL lock_timeout = '`+lockTimeout+`'; SET LOCAL synchronous_commit = on`); err != nil {
			return err
		}
	}
	if err := p.soleMigration(ctx); err != nil {
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
	m, err := p.readMarker(ctx)
	if err != nil {
		return err
	}
	if m != nil && m.RolledBack == "" && m.Source != p.replaces && (p.marker == nil || p.marker.RolledBack != "") {
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
		return problem.Problem{What: "another migration holds the lock", At: p.where, Fix: "wait for it, or end its session (application_name " + application + " in pg_stat_activity)"}
	}
	return err
}

// alone makes sure that no other node of the cluster works on the database.
func (p *passage) alone(ctx context.Context) error {
	return nodes.Alone(ctx, p.conn, p.config.NodeID, p.where)
}

// lockTables keeps everyone else from writing to the target tables.
func (p *passage) lockTables(ctx context.Context) error {
	var names []string
	for _, t := range p.plan.tables {
		names = append(names, t.to.Qualified())
	}
	return postgres.Run(ctx, p.conn, "LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE ROW EXCLUSIVE MODE")
}

// blocked names the sessions that hold locks on the tables.
func (p *passage) blocked(ctx context.Context, cause error) error {
	rows, err := postgres.Rows(ctx, p.conn, `SELECT DISTINCT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), '?'), coalesce(host(a.client_addr), 'local'), a.state
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
		WHERE l.granted AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.pid <> pg_backend_pid()`)
	if err != nil || len(rows) == 0 {
		return p.explain(cause)
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("process %s (user %s, %s, from %s, %s)", row[0], row[1], row[2], row[3], row[4]))
	}
	return problem.Problem{What: "other sessions hold locks on CIDX's tables: " + head(who, 5), At: p.where, Fix: "stop every cluster node, end these sessions, then run again"}
}

// copyTables loads every table that is not there yet.
func (p *passage) copyTables(ctx context.Context) error {
	buf := make([]byte, 0, 2*chunk)
	for _, t := range p.plan.tables {
		if t.status == statusKept {
			progress.Line(ctx, "  Keeping %s... %s rows OK (already there)", t.Name, human.Number(t.rows))
			continue
		}
		if t.conn == nil {
			continue
		}
		var err error
		if buf, err = p.copyTable(ctx, t, buf); err != nil {
			return err
		}
		progress.Line(ctx, "  Migrating %s... %s rows OK", t.Name, human.Number(t.rows))
	}
	return nil
}

func (p *passage) copyTable(ctx context.Context, t *table, buf []byte) ([]byte, error) {
	d, err := p.read(t, false)
	if err != nil {
		return buf, err
	}
	p.meter.begin(t.Name, t.rows, "")
	s := newStream(ctx, d, p.meter, buf)
	options := "FORMAT binary"
	if t.frozen {
		options += ", FREEZE true"
	}
	_, err = p.conn.CopyFrom(ctx, s, "COPY "+t.to.Qualified()+" ("+t.names()+") FROM STDIN ("+options+")")
	s.stop()
	d.rows.Close()
	if s.err != nil {
		return s.buf, s.err
	}
	if err != nil {
		return s.buf, fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.sum, t.rows, t.status = s.enc.sum, s.enc.sum.Rows, statusLoaded
	p.count(d.tally)
	p.warnTimes(t)
	p.warnDangling(t)
	return s.buf, nil
}

// names lists the columns for SQL.
func (t *table) names() string {
	quoted := make([]string, len(t.columns))
	for i, c := range t.columns {
		quoted[i] = postgres.Quote(c.Name)
	}
	return strings.Join(quoted, ", ")
}

// constraint reports whether PostgreSQL refused a row: a value that our rules
// let pass, an orphan, or two rows with one key.
func constraint(err error) bool {
	code := postgres.Code(err)
	return strings.HasPrefix(code, "23") || strings.HasPrefix(code, "22")
}
