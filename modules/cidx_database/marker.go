package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
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

func (r *runner) markerName() string {
	return postgres.Quote(r.catalog.Server.Schema) + "." + postgres.Quote(markerTable)
}

// makeMarkerTable creates the table of markers where there is none.
func (p *passage) makeMarkerTable(ctx context.Context) error {
	if p.catalog.Tables[markerTable] != nil {
		return nil
	}
	err := postgres.Run(ctx, p.conn, "CREATE TABLE IF NOT EXISTS "+p.markerName()+" "+loaded.Columns)
	if postgres.Code(err) == "42501" {
		return problem.Problem{What: "role " + p.catalog.Server.User + " may not create tables in schema " + p.catalog.Server.Schema, At: p.where, Fix: "GRANT CREATE ON SCHEMA " + p.catalog.Server.Schema + " TO " + p.catalog.Server.User + "; CIDX itself needs it"}
	}
	return err
}

// writeMarker records the load, in its own transaction.
func (p *passage) writeMarker(ctx context.Context) error {
	if err := p.makeMarkerTable(ctx); err != nil {
		return err
	}
	tables, err := json.Marshal(p.marks())
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	// A load of this home that no server has worked on is replaced by this one.
	_, err = postgres.Rows(ctx, p.conn, `UPDATE `+p.markerName()+` SET rolled_back_at = clock_timestamp(), rolled_back = '{}'
		WHERE source_id <> $1 AND rolled_back_at IS NULL AND home = $2 AND host = $3`, p.source.id, p.args.Home, hostName())
	if err != nil {
		return fmt.Errorf("record what is replaced: %w", err)
	}
	_, err = postgres.Rows(ctx, p.conn, `INSERT INTO `+p.markerName()+` VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, NULL, NULL)
		ON CONFLICT (source_id) DO UPDATE SET home = excluded.home, host = excluded.host, started_at = excluded.started_at, committed_at = excluded.committed_at,
		helper = excluded.helper, tables = excluded.tables, rolled_back_at = NULL, rolled_back = NULL`,
		p.source.id, p.args.Home, hostName(), stampText(p.moment), ansible.Build, string(tables))
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

func (r *runner) marks() map[string]tableMark {
	marks := map[string]tableMark{}
	for _, t := range r.plan.tables {
		if t.conn != nil {
			marks[t.Name] = tableMark{Rows: t.sum.Rows, Digest: t.sum.String(), Left: t.bad}
		}
	}
	return marks
}

// alreadyLoaded reports whether the target holds this server's data. Then
// nothing is to be done: what the cluster has written since is newer.
func (r *runner) alreadyLoaded(ctx context.Context) (bool, error) {
	m, err := loaded.Latest(ctx, r.conn)
	if err != nil {
		return false, r.explain(err)
	}
	r.marker = m
	if m == nil || m.RolledBack != "" {
		return false, nil
	}
	if m.Source != r.source.id && (m.Home != r.args.Home || m.Host != hostName()) {
		return false, problem.Problem{What: fmt.Sprintf("this database holds the data of another server: %s on %s, migrated %s", m.Home, m.Host, m.Committed), At: r.where, Fix: "name the right database in postgres_dsn; a cluster is seeded from one server only"}
	}
	// The rows themselves are compared: a database in WAL mode whose log was folded
	// in may have the header and size that it had before.
	moment := r.moment
	same, err := r.sameContent(ctx, m)
	if err != nil {
		return false, err
	}
	if !same {
		r.moment = moment
		unused, err := r.unused(m)
		if err != nil || unused {
			return false, err
		}
		return false, problem.Problem{What: "the standalone server has gone on after it was migrated at " + m.Committed + "; PostgreSQL holds the older state", At: r.where, Fix: "run cluster-rollback.yml, which marks that migration as given up, then migrate again"}
	}
	r.out.Skipped = "the data was loaded at " + m.Committed + "; PostgreSQL is left as it is, with all that the cluster has written since"
	r.listMarks(m, "loaded before")
	if r.mode.Check {
		return true, nil
	}
	return true, r.keepRecord(m)
}

// unused reports whether the load of marker m was made by an earlier run of this
// migration that ended before the cut-over: no server has worked on it, and what
// the standalone server has written since is loaded in its place.
func (r *runner) unused(m *marker) (bool, error) {
	standing, err := r.args.Standing()
	if err != nil || standing.Used || standing.Source != m.Source {
		return false, err
	}
	m.RolledBack, m.Last = m.Committed, m.Tables
	r.replaces = m.Source
	return true, nil
}

// sameContent compares the rows of the source with those of an earlier load.
func (r *runner) sameContent(ctx context.Context, m *marker) (bool, error) {
	r.moment = m.Started
	if err := r.makePlan(); err != nil {
		return false, err
	}
	for _, t := range r.plan.tables {
		mark, loaded := m.Tables[t.Name]
		if t.conn == nil || !loaded {
			if loaded != (t.conn != nil) {
				return false, nil
			}
			continue
		}
		t.bad = mark.Left
		sum, err := r.sourceSum(ctx, t)
		if err != nil {
			return false, err
		}
		if want, err := mark.Sum(); err != nil || sum != want {
			return false, err
		}
	}
	return true, nil
}

// loadedBefore reports whether this home is a migrated one that has not gone
// back to standalone mode.
func (r *runner) loadedBefore() bool {
	return r.snapshotExists() && exists(r.state.Database()) && r.current == cidx.ModePostgres
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "unknown"
	}
	return name
}
