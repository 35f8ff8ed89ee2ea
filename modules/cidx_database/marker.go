package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// markerTable remembers in the target itself what was loaded: it commits with
// the rows, so that a run that was killed at the commit knows how it ended.
const markerTable = cidx.LoadMarker

// A marker is a row of markerTable, a tableMark what it tells of a table.
type (
	marker    = loaded.Marker
	tableMark = loaded.Table
)

// makeMarkerTable creates the table of markers where there is none.
func (s *session) makeMarkerTable(ctx context.Context) error {
	if s.catalog.Tables[markerTable] != nil {
		return nil
	}
	err := postgres.Run(ctx, s.conn, "CREATE TABLE IF NOT EXISTS "+s.table(markerTable)+" "+loaded.Columns)
	if postgres.Code(err) == "42501" {
		server := s.catalog.Server
		return problem.Problem{What: "role " + server.User + " may not create tables in schema " + server.Schema, At: s.set.where,
			Fix: "GRANT CREATE ON SCHEMA " + server.Schema + " TO " + server.User + "; CIDX itself needs it"}
	}
	return err
}

// writeMarker records the load, in its own transaction.
func (p *passage) writeMarker(ctx context.Context) error {
	if err := p.makeMarkerTable(ctx); err != nil {
		return err
	}
	tables, err := json.Marshal(p.every.marks())
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	// A load of this home that no server has worked on is replaced by this one.
	_, err = postgres.Rows(ctx, p.conn, `UPDATE `+p.table(markerTable)+` SET rolled_back_at = clock_timestamp(), rolled_back = '{}'
		WHERE source_id <> $1 AND rolled_back_at IS NULL AND home = $2 AND host = $3`, p.source.id, p.args.Home, hostName())
	if err != nil {
		return fmt.Errorf("record what is replaced: %w", err)
	}
	_, err = postgres.Rows(ctx, p.conn, `INSERT INTO `+p.table(markerTable)+` VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, NULL, NULL)
		ON CONFLICT (source_id) DO UPDATE SET home = excluded.home, host = excluded.host, started_at = excluded.started_at,
		committed_at = excluded.committed_at, helper = excluded.helper, tables = excluded.tables,
		rolled_back_at = NULL, rolled_back = NULL`,
		p.source.id, p.args.Home, hostName(), load.StampText(p.moment), ansible.Build, string(tables))
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

// alreadyLoaded reports whether the target holds this server's data. Then
// nothing is to be done: what the cluster has written since is newer.
func (r *runner) alreadyLoaded(ctx context.Context) (bool, error) {
	m, err := loaded.Latest(ctx, r.conn)
	if err != nil {
		return false, r.explain(err)
	}
	r.held.marker = m
	if m == nil || m.RolledBack != "" {
		return false, nil
	}
	if err := r.foreign(m); m.Source != r.source.id && err != nil {
		return false, err
	}
	// The rows themselves are compared: a database in WAL mode whose log was folded
	// in may have the header and size that it had before.
	if r.plan, err = makePlan(r.work, m.Started); err != nil {
		return false, err
	}
	same, err := r.plan.same(ctx, m, r.meter)
	if err != nil {
		return false, err
	}
	if !same {
		standing, err := r.args.Standing()
		if err != nil {
			return false, err
		}
		if !standing.Used && standing.Source == m.Source {
			// An earlier run of this migration ended before the cut-over: no server has
			// worked on its load, and what was written since is loaded in its place.
			m.RolledBack, m.Last, r.held.replaces = m.Committed, m.Tables, m.Source
			return false, nil
		}
		return false, problem.Problem{At: r.where,
			What: "the standalone server has gone on after it was migrated at " + m.Committed + "; PostgreSQL holds the older state",
			Fix:  "run cluster-rollback.yml, which marks that migration as given up, then migrate again"}
	}
	r.out.Skipped = "the data was loaded at " + m.Committed + "; PostgreSQL is left as it is, with all that the cluster has written since"
	r.listMarks(m, "loaded before")
	if r.mode.Check {
		return true, nil
	}
	return true, r.keepRecord(m)
}

// foreign is the problem of a marker of another server, or nil.
func (s *settings) foreign(m *marker) error {
	if m.Home == s.args.Home && m.Host == hostName() {
		return nil
	}
	return problem.Problem{What: fmt.Sprintf("this database holds the data of another server: %s on %s, migrated %s",
		m.Home, m.Host, m.Committed),
		At: s.where, Fix: "name the right database in postgres_dsn; a cluster is seeded from one server only"}
}

// same compares the rows of the source with those of an earlier load.
func (p *plan) same(ctx context.Context, m *marker, progress *load.Meter) (bool, error) {
	for _, t := range p.transfers() {
		mark, loaded := m.Tables[t.Name]
		if t.Conn == nil || !loaded {
			if loaded != (t.Conn != nil) {
				return false, nil
			}
			continue
		}
		t.left = mark.Left
		sum, err := t.SourceSum(ctx, t.left, progress)
		if err != nil {
			return false, err
		}
		if want, err := mark.Sum(); err != nil || sum != want {
			return false, err
		}
	}
	return true, nil
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "unknown"
	}
	return name
}
