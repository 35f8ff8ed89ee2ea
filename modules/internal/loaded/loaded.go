// Package loaded keeps the marker of a migration in PostgreSQL: which server's data
// was loaded, and whether a rollback has given it up. It commits with the rows, so
// that a run that was killed at the commit knows how it ended.
package loaded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// Columns are those of the table of markers, cidx.LoadMarker.
const Columns = `(source_id text PRIMARY KEY, home text NOT NULL, host text NOT NULL, started_at timestamptz NOT NULL,
	committed_at timestamptz NOT NULL, helper text NOT NULL, tables jsonb NOT NULL, rolled_back_at timestamptz, rolled_back jsonb)`

// Marker is what the load left in PostgreSQL, and <state>/database.json.
type Marker struct {
	Source     string               `json:"source_id"`
	Home       string               `json:"home"`
	Host       string               `json:"host"`
	Started    time.Time            `json:"started_at"`
	Committed  string               `json:"committed_at"`
	Helper     string               `json:"helper"`
	Tables     map[string]load.Mark `json:"tables"`
	RolledBack string               `json:"rolled_back_at,omitempty"` // when it was given up; "" if it counts
	Last       map[string]load.Mark `json:"-"`                        // what PostgreSQL held then
}

// Of is the marker of one load; nil where the database holds none.
func Of(ctx context.Context, conn *pgconn.PgConn, source string) (*Marker, error) {
	return find(ctx, conn, "WHERE source_id = $1", source)
}

// Latest is the newest marker, one that counts first; nil if there is none.
func Latest(ctx context.Context, conn *pgconn.PgConn) (*Marker, error) { return find(ctx, conn, "") }

func find(ctx context.Context, conn *pgconn.PgConn, condition string, values ...string) (*Marker, error) {
	rows, err := postgres.Rows(ctx, conn, "SELECT to_regclass(quote_ident("+postgres.Schema+") || '.' || $1)", cidx.LoadMarker)
	if err != nil {
		return nil, fmt.Errorf("look for an earlier migration: %w", err)
	}
	if len(rows[0][0]) == 0 {
		return nil, nil // a table that is not there is no load either
	}
	rows, err = postgres.Rows(ctx, conn, `SELECT source_id, home, host, (extract(epoch FROM started_at) * 1000000)::bigint,
		committed_at, helper, tables, rolled_back_at, coalesce(rolled_back, '{}')
		FROM `+string(rows[0][0])+` `+condition+` ORDER BY rolled_back_at IS NOT NULL, committed_at DESC LIMIT 1`, values...)
	if err == nil && len(rows) == 0 {
		return nil, nil
	}
	var m *Marker
	if err == nil {
		m, err = read(rows[0])
	}
	if err != nil {
		return nil, fmt.Errorf("read what was migrated earlier: %w", err)
	}
	return m, nil
}

func read(f [][]byte) (*Marker, error) {
	micros, err := strconv.ParseInt(string(f[3]), 10, 64)
	m := &Marker{Source: string(f[0]), Home: string(f[1]), Host: string(f[2]), Started: time.UnixMicro(micros).UTC(),
		Committed: string(f[4]), Helper: string(f[5]), RolledBack: string(f[7])}
	return m, errors.Join(err, json.Unmarshal(f[6], &m.Tables), json.Unmarshal(f[8], &m.Last))
}

// Write records a load, in its own transaction.
func Write(ctx context.Context, s *load.Session, m *Marker) error {
	if err := create(ctx, s); err != nil {
		return err
	}
	tables, err := json.Marshal(m.Tables)
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	// A load of this home that no server has worked on is replaced by this one.
	table := s.Table(cidx.LoadMarker)
	_, err = postgres.Rows(ctx, s.Conn, `UPDATE `+table+` SET rolled_back_at = clock_timestamp(), rolled_back = '{}'
		WHERE source_id <> $1 AND rolled_back_at IS NULL AND home = $2 AND host = $3`, m.Source, m.Home, m.Host)
	if err != nil {
		return fmt.Errorf("record what is replaced: %w", err)
	}
	_, err = postgres.Rows(ctx, s.Conn, `INSERT INTO `+table+` VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, NULL, NULL)
		ON CONFLICT (source_id) DO UPDATE SET home = excluded.home, host = excluded.host, started_at = excluded.started_at,
		committed_at = excluded.committed_at, helper = excluded.helper, tables = excluded.tables,
		rolled_back_at = NULL, rolled_back = NULL`, m.Source, m.Home, m.Host, load.StampText(m.Started), m.Helper, string(tables))
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	return nil
}

// create makes the table of markers where there is none.
func create(ctx context.Context, s *load.Session) error {
	if s.Catalog.Tables[cidx.LoadMarker] != nil {
		return nil
	}
	err := postgres.Run(ctx, s.Conn, "CREATE TABLE IF NOT EXISTS "+s.Table(cidx.LoadMarker)+" "+Columns)
	if postgres.Code(err) == "42501" {
		server := s.Catalog.Server
		return problem.Problem{What: "role " + server.User + " may not create tables in schema " + server.Schema, At: s.Where,
			Fix: "GRANT CREATE ON SCHEMA " + server.Schema + " TO " + server.User + "; CIDX itself needs it"}
	}
	return err
}

// GiveUp marks a load as given up; now is what the tables hold.
func (m *Marker) GiveUp(ctx context.Context, s *load.Session, now map[string]load.Mark) error {
	raw, err := json.Marshal(now)
	if err == nil {
		_, err = postgres.Rows(ctx, s.Conn, "UPDATE "+s.Table(cidx.LoadMarker)+
			" SET rolled_back_at = clock_timestamp(), rolled_back = $2 WHERE source_id = $1", m.Source, string(raw))
	}
	if err != nil {
		return fmt.Errorf("mark the load as given up: %w", err)
	}
	return nil
}

// Rows is how many were loaded.
func (m *Marker) Rows() (n int64) {
	for _, t := range m.Tables {
		n += t.Rows
	}
	return n
}
