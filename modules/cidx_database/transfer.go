package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/service"
)

// transfer is the transaction. An error leaves PostgreSQL as it was.
func (r *runner) transfer(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.transferIn(ctx); err != nil {
		if rollback := postgres.Run(context.WithoutCancel(ctx), r.conn, "ROLLBACK"); rollback != nil && !postgres.Lost(rollback) && !r.conn.IsClosed() {
			return errors.Join(err, fmt.Errorf("roll back: %w", rollback))
		}
		if postgres.Code(err) == "55P03" {
			return r.blocked(ctx, err)
		}
		return err
	}
	return nil
}

// transferIn does the work between BEGIN and COMMIT.
func (r *runner) transferIn(ctx context.Context) error {
	r.late = nil
	var rebuild *postgres.Rebuild
	steps := []struct {
		part string // under which the time is booked
		do   func(context.Context) error
	}{
		{"lock", r.makeMarkerTable},
		{"lock", r.lockTables},
		{"lock", r.clearTarget},
		{"lock", func(ctx context.Context) (err error) { rebuild, err = r.dropIndexes(ctx); return err }},
		{"copy", r.copyTables},
		{"copy", r.runDeferred}, // what waits for the commit keeps tables from being altered, too
		{"indexes", func(ctx context.Context) error { return r.rebuildIndexes(ctx, rebuild) }},
		{"indexes", r.storeSecrets},
		{"indexes", r.setSequences},
		{"verify", func(context.Context) error { return r.source.unchanged() }},
		{"verify", r.writeMarker},
		{"verify", r.runDeferred},
		{"verify", r.compare},
		{"verify", r.compareSecrets},
		{"commit", r.alone},
		{"commit", r.seal},
		{"commit", r.commit},
	}
	for _, step := range steps {
		err := step.do(ctx)
		r.clock.lap(step.part)
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
func (r *runner) begin(ctx context.Context) error {
	settings := `BEGIN; SET LOCAL lock_timeout = '` + lockTimeout + `'; SET LOCAL synchronous_commit = on; SET LOCAL client_connection_check_interval = '2s'`
	if err := postgres.Run(ctx, r.conn, settings); err != nil {
		if postgres.Code(err) != "42704" { // before PostgreSQL 14 there is no such check
			return err
		}
		if err := postgres.Run(ctx, r.conn, `ROLLBACK; BEGIN; SET LOCAL lock_timeout = '`+lockTimeout+`'; SET LOCAL synchronous_commit = on`); err != nil {
			return err
		}
	}
	if err := r.soleMigration(ctx); err != nil {
		return err
	}
	if err := r.alone(ctx); err != nil {
		return err
	}
	// First: a server that was started here beats under this node's id as well.
	if err := service.StillStopped(ctx, r.args.Common); err != nil {
		return err
	}
	if err := nodes.Twin(ctx, r.conn, r.config.NodeID, r.where); err != nil {
		return err
	}
	// The marker may have come while we waited.
	m, err := r.readMarker(ctx)
	if err != nil {
		return err
	}
	if m != nil && m.RolledBack == "" && m.Source != r.replaces && (r.marker == nil || r.marker.RolledBack != "") {
		return problem.Problem{What: "another run has just finished the load", At: r.where, Fix: "run again"}
	}
	return nil
}

// lockKey is the key of the advisory lock; any number that nobody else uses.
const lockKey = "6235118042716"

// soleMigration takes the advisory lock, which ends with the transaction. After
// a kill the old session may need a moment to notice.
func (r *runner) soleMigration(ctx context.Context) error {
	err := postgres.Run(ctx, r.conn, "SELECT pg_advisory_xact_lock("+lockKey+")")
	if postgres.Code(err) == "55P03" {
		return problem.Problem{What: "another migration holds the lock", At: r.where, Fix: "wait for it, or end its session (application_name " + application + " in pg_stat_activity)"}
	}
	return err
}

// alone makes sure that no other node of the cluster works on the database.
func (r *runner) alone(ctx context.Context) error {
	return nodes.Alone(ctx, r.conn, r.config.NodeID, r.where)
}

// lockTables keeps everyone else from writing to the target tables.
func (r *runner) lockTables(ctx context.Context) error {
	var names []string
	for _, t := range r.plan.tables {
		names = append(names, t.to.Qualified())
	}
	return postgres.Run(ctx, r.conn, "LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE ROW EXCLUSIVE MODE")
}

// blocked names the sessions that hold locks on the tables.
func (r *runner) blocked(ctx context.Context, cause error) error {
	rows, err := postgres.Rows(ctx, r.conn, `SELECT DISTINCT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), '?'), coalesce(host(a.client_addr), 'local'), a.state
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
		WHERE l.granted AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.pid <> pg_backend_pid()`)
	if err != nil || len(rows) == 0 {
		return r.explain(cause)
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("process %s (user %s, %s, from %s, %s)", row[0], row[1], row[2], row[3], row[4]))
	}
	return problem.Problem{What: "other sessions hold locks on CIDX's tables: " + head(who, 5), At: r.where, Fix: "stop every cluster node, end these sessions, then run again"}
}

// copyTables loads every table that is not there yet.
func (r *runner) copyTables(ctx context.Context) error {
	buf := make([]byte, 0, 2*chunk)
	for _, t := range r.plan.tables {
		if t.status == statusKept {
			progress.Line(ctx, "  Keeping %s... %s rows OK (already there)", t.Name, thousands(t.rows))
			continue
		}
		if t.conn == nil {
			continue
		}
		var err error
		if buf, err = r.copyTable(ctx, t, buf); err != nil {
			return err
		}
		progress.Line(ctx, "  Migrating %s... %s rows OK", t.Name, thousands(t.rows))
	}
	return nil
}

func (r *runner) copyTable(ctx context.Context, t *table, buf []byte) ([]byte, error) {
	d, err := r.read(t, false)
	if err != nil {
		return buf, err
	}
	r.meter.begin(t.Name, t.rows, "")
	s := newStream(ctx, d, r.meter, buf)
	options := "FORMAT binary"
	if t.frozen {
		options += ", FREEZE true"
	}
	_, err = r.conn.CopyFrom(ctx, s, "COPY "+t.to.Qualified()+" ("+t.names()+") FROM STDIN ("+options+")")
	s.stop()
	d.rows.Close()
	if s.err != nil {
		return s.buf, s.err
	}
	if err != nil {
		return s.buf, fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.sum, t.rows, t.status = s.enc.sum, s.enc.sum.Rows, statusLoaded
	r.count(d.tally)
	r.warnTimes(t)
	r.warnDangling(t)
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

// thousands writes 12345 as 12,345.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
