// Package loaded asks PostgreSQL for the marker of a migration: which server's
// data was loaded, and whether a rollback has given it up. It never writes.
package loaded

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/postgres"
)

// Marker is what the load left in PostgreSQL.
type Marker struct {
	Source    string
	Home      string
	Host      string
	Committed string
	GivenUp   bool
	Tables    map[string]cidx.LoadedTable
}

// Of is the marker of one load; ok is false where the database holds none. where
// names the database in errors.
func Of(ctx context.Context, conn *pgconn.PgConn, source, where string) (m Marker, ok bool, err error) {
	return find(ctx, conn, where, "WHERE source_id = $1", source)
}

// Latest is the newest marker, one that counts first.
func Latest(ctx context.Context, conn *pgconn.PgConn, where string) (m Marker, ok bool, err error) {
	return find(ctx, conn, where, "")
}

func find(ctx context.Context, conn *pgconn.PgConn, where, condition string, values ...string) (m Marker, ok bool, err error) {
	rows, err := postgres.Read(ctx, conn, `SELECT source_id, home, host, committed_at, rolled_back_at IS NOT NULL, tables
		FROM `+cidx.LoadMarker+` `+condition+` ORDER BY rolled_back_at IS NOT NULL, committed_at DESC LIMIT 1`, values...)
	// A table that is not there is no load either.
	if postgres.Code(err) == postgres.UndefinedTable {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("look for the load: %w", postgres.Explain(err, where))
	}
	if len(rows) == 0 {
		return m, false, nil
	}
	f := rows[0]
	m = Marker{Source: string(f[0]), Home: string(f[1]), Host: string(f[2]), Committed: string(f[3]), GivenUp: string(f[4]) == "t"}
	if err := json.Unmarshal(f[5], &m.Tables); err != nil {
		return m, false, fmt.Errorf("read what was loaded: %w", err)
	}
	return m, true, nil
}
