// Package loaded asks PostgreSQL for the marker of a migration: which server's
// data was loaded, and whether a rollback has given it up. It never writes.
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
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/postgres"
)

// Columns are those of the table of markers, cidx.LoadMarker.
const Columns = `(source_id text PRIMARY KEY, home text NOT NULL, host text NOT NULL, started_at timestamptz NOT NULL,
	committed_at timestamptz NOT NULL, helper text NOT NULL, tables jsonb NOT NULL, rolled_back_at timestamptz, rolled_back jsonb)`

// Marker is what the load left in PostgreSQL, and <state>/database.json.
type Marker struct {
	Source     string           `json:"source_id"`
	Home       string           `json:"home"`
	Host       string           `json:"host"`
	Started    time.Time        `json:"started_at"`
	Committed  string           `json:"committed_at"`
	Helper     string           `json:"helper"`
	Tables     map[string]Table `json:"tables"`
	RolledBack string           `json:"rolled_back_at,omitempty"` // when it was given up; "" if it counts
	Last       map[string]Table `json:"-"`                        // what PostgreSQL held then
}

// Table is what was loaded into a table.
type Table struct {
	Rows   int64   `json:"rows"`
	Digest string  `json:"digest"`
	Left   []int64 `json:"left,omitempty"` // ids of SQLite's rows in quarantine
}

// Sum is the digest with the number of rows.
func (t Table) Sum() (digest.Sum, error) { return digest.Parse(t.Digest, t.Rows) }

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
	rows, err = postgres.Rows(ctx, conn, `SELECT source_id, home, host, (extract(epoch FROM started_at) * 1000000)::bigint, committed_at, helper,
		tables, rolled_back_at, coalesce(rolled_back, '{}')
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
