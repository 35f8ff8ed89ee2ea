package database

import (
	"context"
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/human"
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
		return p.each(ctx, p.tables, func(t *table) error {
			name := t.to.Qualified() // the other statements show which rights are lacking
			return postgres.Run(ctx, p.conn, lock+name+mode+"; SELECT FROM "+name+" LIMIT 0; DELETE FROM "+name+" WHERE false")
		})
	}
	var names []string
	for _, t := range p.tables {
		if t.Grows && p.args.Phase == phaseWarm {
			continue // nobody waits for us while the server runs
		}
		names = append(names, t.to.Qualified())
	}
	if len(names) == 0 {
		return nil
	}
	return postgres.Run(ctx, p.conn, lock+strings.Join(names, ", ")+mode)
}

// blocked names the sessions that hold locks on the tables.
func (p *passage) blocked(ctx context.Context, cause error) error {
	oids := []string{"0"}
	for _, t := range p.tables {
		oids = append(oids, t.to.OID)
	}
	rows, err := postgres.Rows(ctx, p.conn, `SELECT DISTINCT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), '?'), coalesce(host(a.client_addr), 'local'), a.state
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted AND l.relation IN (`+strings.Join(oids, ", ")+`) AND a.pid <> pg_backend_pid() ORDER BY 1`)
	if err != nil || len(rows) == 0 {
		return p.explain(cause)
	}
	var who []string
	for _, row := range rows {
		who = append(who, fmt.Sprintf("process %s (user %s, %s, from %s, %s)", row[0], row[1], row[2], row[3], row[4]))
	}
	return problem.Problem{What: "other sessions hold locks on CIDX's tables: " + head(who, 5), At: p.where, Fix: "stop every cluster node, end these sessions (wait for a backup such as pg_dump), then run again"}
}

// copyTables loads every table that is not there yet.
func (p *passage) copyTables(ctx context.Context) error {
	if p.all {
		return p.nameRefused(ctx)
	}
	p.meter.whole(p.work())
	buf := make([]byte, 0, 2*chunk)
	var empty []string
	for _, t := range p.tables {
		if t.status == statusKept {
			p.tell(ctx, "  Keeping %s... %s OK (already there)", t.Name, human.Count(t.rows, "row", "rows"))
			continue
		}
		if t.conn == nil {
			continue
		}
		var err error
		if buf, err = p.copyTable(ctx, t, buf); err != nil {
			return err
		}
		p.meter.end()
		if t.rows == 0 {
			empty = append(empty, t.Name)
			continue
		}
		p.tell(ctx, "  Migrating %s... %s OK", t.Name, human.Count(t.rows, "row", "rows"))
	}
	if len(empty) > 0 {
		p.tell(ctx, "  %s", emptyTables("Migrating", empty))
	}
	return nil
}

// work is how many rows are carried over and then read back.
func (p *passage) work() (rows int64) {
	for _, t := range p.tables {
		if t.conn == nil {
			continue
		}
		rows += t.rows
		if t.status != statusKept {
			rows += t.rows
		}
	}
	return rows
}

// emptyTables is a line about tables without a row, of a width that no terminal
// wraps; the report names all of them.
func emptyTables(does string, names []string) string {
	line := fmt.Sprintf("%s %s without a row: ", does, human.Count(len(names), "table", "tables"))
	const most = 78
	for i, name := range names {
		if i > 0 {
			name = ", " + name
		}
		if rest := fmt.Sprintf(" and %d more", len(names)-i); i > 0 && i < len(names) && len(line)+len(name)+len(rest) > most {
			return line + rest
		}
		line += name
	}
	return line
}

func (p *passage) copyTable(ctx context.Context, t *table, buf []byte) ([]byte, error) {
	d, err := p.read(t, false)
	if err != nil {
		return buf, err
	}
	p.meter.begin(t.Name, t.rows, "")
	s := newStream(ctx, d, p.meter, buf)
	_, err = p.conn.CopyFrom(ctx, s, t.copyFrom())
	s.stop()
	d.rows.Close()
	if s.err != nil {
		return s.buf, s.err
	}
	if err != nil {
		return s.buf, fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.sum, t.rows, t.status, t.tally = s.enc.sum, s.enc.sum.Rows, statusLoaded, d.tally
	p.count(d.tally)
	p.warnTimes(t)
	p.warnDangling(t)
	return s.buf, nil
}

// copyFrom spells the statement that takes rows.
func (t *table) copyFrom() string {
	options := "FORMAT binary"
	if t.frozen {
		options += ", FREEZE true"
	}
	return "COPY " + t.to.Qualified() + " (" + t.names() + ") FROM STDIN (" + options + ")"
}

// names lists the columns for SQL.
func (t *table) names() string {
	quoted := make([]string, len(t.columns))
	for i, c := range t.columns {
		quoted[i] = postgres.Quote(c.Name)
	}
	return strings.Join(quoted, ", ")
}
