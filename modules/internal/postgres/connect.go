// Package postgres talks to the cluster's database: it connects, explains
// faults to an operator, reads the catalog, and rebuilds indexes and
// constraints. It stands on pgconn: no pool, no types, one round trip where one
// is enough.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/secret"
)

// connectTimeout bounds one attempt, where the connection string does not.
const connectTimeout = 10 * time.Second

// clientOnly are parameters of libpq that pgconn does not know and would send
// to the server, which refuses them. psycopg accepts them in postgres_dsn.
var clientOnly = []string{
	"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	"client_encoding", "fallback_application_name", "gssencmode", "gsslib", "gssdelegation", "krbsrvname",
	"sslcompression", "sslcrl", "sslcrldir", "requirepeer", "requiressl", "ssl_min_protocol_version",
	"ssl_max_protocol_version", "sslcertmode", "load_balance_hosts", "passfile", "hostaddr",
}

// Connect opens one connection. The session's time zone is UTC and no time-out
// of the server's configuration applies to it. The error is a cidx.Problem;
// the DSN's password is registered with ctx's keeper and in no message.
func Connect(ctx context.Context, dsn, application string) (*pgconn.PgConn, error) {
	secret.KeepDSN(ctx, dsn)
	if dsn == "" {
		return nil, cidx.Problem{What: "no PostgreSQL connection string", At: "postgres_dsn", Fix: "run cluster-join.sh so that config.json has postgres_dsn, or set cidx_postgres_dsn"}
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, cidx.Problem{What: "not a PostgreSQL connection string: " + cause(err), At: "postgres_dsn", Fix: "write it as postgresql://user:password@host:5432/database"}
	}
	for _, name := range clientOnly {
		delete(config.RuntimeParams, name)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.RuntimeParams["application_name"] = application
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, Explain(err, Where(config))
	}
	const settings = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'; SET extra_float_digits = 1`
	if _, err := conn.Exec(ctx, settings).ReadAll(); err != nil {
		_ = conn.Close(ctx)
		return nil, Explain(err, Where(config))
	}
	return conn, nil
}

// Where names a database without its password: postgresql://cidx@pg-host:5432/cidx.
func Where(c *pgconn.Config) string {
	host := c.Host
	if strings.HasPrefix(host, "/") {
		return fmt.Sprintf("postgresql://%s@/%s?host=%s&port=%d", c.User, c.Database, host, c.Port)
	}
	return fmt.Sprintf("postgresql://%s@%s:%d/%s", c.User, host, c.Port, c.Database)
}

// WhereDSN is Where for a connection string; "PostgreSQL" if it has no meaning.
func WhereDSN(dsn string) string {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return "PostgreSQL"
	}
	return Where(config)
}

// Rows runs one statement and returns its rows in text form; a NULL is nil.
func Rows(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][][]byte, error) {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	result := conn.ExecParams(ctx, sql, values, nil, nil, nil).Read()
	return result.Rows, result.Err
}

// Run runs statements without arguments, separated by semicolons, and drops
// their rows.
func Run(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// Batch runs statements in one round trip and returns the rows of each.
func Batch(ctx context.Context, conn *pgconn.PgConn, statements ...string) ([][][][]byte, error) {
	batch := &pgconn.Batch{}
	for _, sql := range statements {
		batch.ExecParams(sql, nil, nil, nil, nil)
	}
	results, err := conn.ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != len(statements) {
		return nil, errors.New("run statements: answers are missing")
	}
	rows := make([][][][]byte, len(results))
	for i, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		rows[i] = r.Rows
	}
	return rows, nil
}

// Quote spells a name for SQL.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal spells a text for SQL (standard_conforming_strings is on since 9.1).
func Literal(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
