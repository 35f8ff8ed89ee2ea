package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// load moves the data, or rehearses it in check mode.
func (r *runner) load(ctx context.Context) error {
	r.clock.lap("")
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.clock.lap("prepare")
	if done, err := r.alreadyLoaded(ctx); done || err != nil {
		return err
	}
	if none, err := r.ensureSchema(ctx); none || err != nil {
		return err
	}
	var problems cidx.Problems
	problems.Add(r.makePlan())
	problems.Add(r.tryAll(ctx))
	r.clock.lap("plan")
	if r.mode.Check {
		return r.rehearse(ctx, problems)
	}
	problems.Add(r.explain(r.privileges(ctx)))
	problems.Add(<-r.checked)
	if err := problems.Err(); err != nil {
		return err
	}
	if err := r.removeOldReports(); err != nil {
		return err
	}
	r.meter = startMeter(ctx, r.args.ProgressSeconds)
	err := r.transfer(ctx)
	if errors.Is(err, errMisfit) || constraint(err) {
		return r.mend(ctx, err)
	}
	if err != nil {
		return r.explain(err)
	}
	return r.finish(ctx)
}

// prepare opens the source and the target.
func (r *runner) prepare(ctx context.Context) error {
	var problems cidx.Problems
	problems.Add(r.openSecrets(ctx))
	opening := make(chan error, 1)
	go func() {
		err := r.chooseSource(ctx)
		if err == nil && r.secrets != nil {
			r.warmKeys()
		}
		opening <- err
	}()
	problems.Add(r.connect(ctx))
	problems.Add(<-opening)
	if err := problems.Err(); err != nil {
		return err
	}
	r.checkSmall()
	return r.checkServer(ctx)
}

// chooseSource takes the private snapshot of the backup step. A rehearsal takes
// copies of its own, unless the snapshot is what the cluster was loaded from.
func (r *runner) chooseSource(ctx context.Context) error {
	if !r.mode.Check || r.config.Path != "" && r.loadedBefore() {
		return r.openSnapshot(ctx)
	}
	r.warnings.add("rehearsed on copies of databases that may be in use: only as consistent as a running server allows")
	return r.openCopies(ctx)
}

// checkServer finds what makes a server unfit for a load.
func (r *runner) checkServer(ctx context.Context) error {
	s := r.catalog.Server
	var problems cidx.Problems
	if s.Standby {
		problems = append(problems, cidx.Problem{What: "this server is a read-only replica", At: r.where, Fix: "name the primary in postgres_dsn"})
	} else if s.ReadOnly {
		problems = append(problems, cidx.Problem{What: "transactions are read-only (default_transaction_read_only)", At: r.where, Fix: "set it to off for this role and database, or name the primary in postgres_dsn"})
	}
	if s.Encoding != "UTF8" {
		problems = append(problems, cidx.Problem{What: "the database's encoding is " + s.Encoding, At: r.where, Fix: "create the database with ENCODING 'UTF8' TEMPLATE template0"})
	}
	if s.Schema == "" {
		problems = append(problems, cidx.Problem{What: "no schema of search_path exists", At: r.where, Fix: "create schema public, or correct search_path"})
	}
	problems.Add(r.pooler(ctx))
	return problems.Err()
}

// pooler recognises PgBouncer in transaction mode: it answers with a process id
// of its own, and two clients at once get the same server process. CIDX's
// migration runner and leader election need locks that last as long as a
// session.
func (r *runner) pooler(ctx context.Context) error {
	mine := r.catalog.Server.BackendPID
	if r.conn.PID() == mine {
		return nil
	}
	second, err := postgres.Connect(ctx, r.dsn, application)
	if err != nil {
		return err
	}
	defer second.Close(ctx)
	rows, err := postgres.Rows(ctx, second, "SELECT pg_backend_pid()")
	if err != nil {
		return r.explain(err)
	}
	if string(rows[0][0]) != fmt.Sprint(mine) {
		r.warnings.add("a connection pooler stands before PostgreSQL; CIDX needs it in session mode")
		return nil
	}
	return cidx.Problem{What: "a connection pooler in transaction mode stands before PostgreSQL", At: r.where, Fix: "name PostgreSQL itself in postgres_dsn, or set the pooler to session mode: CIDX's locks last as long as a session"}
}

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

func (r *runner) transferIn(ctx context.Context) error {
	r.late = nil
	if err := r.makeMarkerTable(ctx); err != nil {
		return err
	}
	if err := r.lockTables(ctx); err != nil {
		return err
	}
	if err := r.clearTarget(ctx); err != nil {
		return err
	}
	rebuild, err := r.dropIndexes(ctx)
	if err != nil {
		return err
	}
	r.clock.lap("lock")
	if err := r.copyTables(ctx); err != nil {
		return err
	}
	r.clock.lap("copy")
	if err := r.rebuildIndexes(ctx, rebuild); err != nil {
		return err
	}
	r.clock.lap("indexes")
	if err := r.storeSecrets(ctx); err != nil {
		return err
	}
	if err := r.setSequences(ctx); err != nil {
		return err
	}
	if err := r.source.unchanged(); err != nil {
		return err
	}
	if err := r.compare(ctx); err != nil {
		return err
	}
	r.clock.lap("verify")
	if err := r.writeMarker(ctx); err != nil {
		return err
	}
	if err := postgres.Run(ctx, r.conn, strings.Join(append(r.late, "COMMIT"), "; ")); err != nil {
		if postgres.Lost(err) {
			return cidx.Problem{What: "connection lost at the very commit: whether it took place is not known", At: r.where, Fix: "run again; the database itself remembers whether the load is complete"}
		}
		return err
	}
	r.clock.lap("commit")
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
	// The marker may have come while we waited.
	m, err := r.readMarker(ctx)
	if err != nil {
		return err
	}
	if m != nil && m.RolledBack == "" && (r.marker == nil || r.marker.RolledBack != "") {
		return cidx.Problem{What: "another run has just finished the load", At: r.where, Fix: "run again"}
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
		return cidx.Problem{What: "another migration holds the lock", At: r.where, Fix: "wait for it, or end its session (application_name " + application + " in pg_stat_activity)"}
	}
	return err
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
		WHERE l.granted AND c.relnamespace = current_schema()::regnamespace AND a.pid <> pg_backend_pid()`)
	if err != nil || len(rows) == 0 {
		return r.explain(cause)
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("process %s (user %s, %s, from %s, %s)", row[0], row[1], row[2], row[3], row[4]))
	}
	return cidx.Problem{What: "other sessions hold locks on CIDX's tables: " + head(who, 5), At: r.where, Fix: "stop every cluster node, end these sessions, then run again"}
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
