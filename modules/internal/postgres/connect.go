// Package postgres talks to the cluster's database: it connects, explains
// faults to an operator, reads the catalog, and rebuilds indexes and
// constraints. It stands on pgconn: no pool, no types, one round trip where one
// is enough.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/libpq"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/secret"
)

// Connect opens one connection, as psycopg would with the same connection
// string: package libpq reads it, with services, password files and environment.
// Settings of server, database and role do not change what the session reads and
// writes (session.go). The error is a problem.Problem; every password that was found
// is registered with ctx's keeper and is in no message.
func Connect(ctx context.Context, dsn, application string) (*pgconn.PgConn, error) {
	secret.KeepDSN(ctx, dsn)
	if dsn == "" {
		return nil, problem.Problem{What: "no PostgreSQL connection string", At: "postgres_dsn",
			Fix: "run cluster-join.sh so that config.json has postgres_dsn, or set cidx_postgres_dsn"}
	}
	settings, err := read(ctx, dsn)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, settings, application)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, conn); err != nil {
		_ = conn.Close(ctx) // the session is of no use
		return nil, Explain(err, where(settings))
	}
	return conn, nil
}

// read is the connection string with everything that completes it.
func read(ctx context.Context, dsn string) (libpq.Settings, error) {
	settings, err := libpq.Parse(dsn)
	if err == nil {
		settings, err = settings.Complete()
	}
	if err != nil {
		return nil, refused(err)
	}
	secret.Keep(ctx, settings["password"], settings["sslpassword"])
	return settings, nil
}

// refused is the problem of a connection string that cannot be used.
func refused(err error) error {
	fix := "write it as postgresql://user:password@host:5432/database"
	var fault *libpq.Fault
	if errors.As(err, &fault) && fault.Parameter != "" {
		fix = "correct or remove " + fault.Parameter + " in postgres_dsn (" + fix + ")"
		if fault.Parameter == "service" {
			fix = "put the service into ~/.pg_service.conf of the server's user " +
				"(a PGSERVICEFILE of the server's unit is not read here), or give cidx_postgres_dsn without a service"
		}
	}
	return problem.Problem{What: "not a PostgreSQL connection string: " + err.Error(), At: "postgres_dsn", Fix: fix}
}

// where names a database without its password: postgresql://cidx@pg-host:5432/cidx.
func where(s libpq.Settings) string {
	targets, err := s.Targets()
	if err != nil {
		return "PostgreSQL"
	}
	database := cmp.Or(s["dbname"], s["user"])
	if len(targets) == 1 && targets[0].Socket() {
		host := cmp.Or(targets[0].Host, libpq.DefaultSocket())
		return fmt.Sprintf("postgresql://%s@/%s?host=%s&port=%d", s["user"], database, host, targets[0].Port)
	}
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Name()
	}
	return fmt.Sprintf("postgresql://%s@%s/%s", s["user"], strings.Join(names, ","), database)
}

// WhereDSN names the database of a connection string without its password;
// "PostgreSQL" if the string has no meaning.
func WhereDSN(dsn string) string {
	settings, err := read(context.Background(), dsn)
	if err != nil {
		return "PostgreSQL"
	}
	return where(settings)
}

// Environment is the connection as the variables PGHOST to PGDATABASE, for
// programs that are started with it; they hold the password.
func Environment(ctx context.Context, dsn string) ([]string, error) {
	s, err := read(ctx, dsn)
	if err != nil {
		return nil, err
	}
	var list []string
	for name, variable := range map[string]string{"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER",
		"password": "PGPASSWORD", "dbname": "PGDATABASE"} {
		if s[name] != "" {
			list = append(list, variable+"="+s[name])
		}
	}
	return list, nil
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

// Number is the whole number that a statement gives.
func Number(ctx context.Context, conn *pgconn.PgConn, sql string) (int64, error) {
	rows, err := Rows(ctx, conn, sql)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(rows[0][0]), 10, 64)
}

// Run runs statements without arguments, separated by semicolons, and drops
// their rows.
func Run(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// Read is Rows in a transaction that can only read. It needs no setting of the
// session, so that a pooler cannot hand one on to somebody else.
func Read(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][][]byte, error) {
	if err := Run(ctx, conn, "BEGIN READ ONLY"); err != nil {
		return nil, err
	}
	rows, err := Rows(ctx, conn, sql, args...)
	if end := Run(ctx, conn, "ROLLBACK"); err == nil {
		err = end
	}
	return rows, err
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
