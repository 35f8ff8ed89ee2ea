package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/problem"
)

// UndefinedTable is the SQLSTATE of a table that does not exist.
const UndefinedTable = "42P01"

// fixes is the way out by SQLSTATE (PostgreSQL, appendix A).
var fixes = map[string]string{
	"28P01":        "correct the password in postgres_dsn (config.json), or set cidx_postgres_dsn",
	"28000":        "allow this user and host in pg_hba.conf, or correct postgres_dsn",
	"3D000":        "create the database, or correct its name in postgres_dsn",
	"53300":        "raise max_connections, or end idle connections, then run again",
	"53100":        "free disk space on the PostgreSQL server, then run again",
	"53200":        "free memory on the PostgreSQL server, then run again",
	"55P03":        "end the session that holds the lock (pg_stat_activity shows it), then run again",
	"57014":        "find out who cancelled the statement (a DBA, a statement timeout of a pooler), then run again",
	"57P01":        "wait until PostgreSQL runs again, then run again",
	"57P02":        "wait until PostgreSQL runs again, then run again",
	"57P03":        "wait until PostgreSQL has started, then run again",
	"57P05":        "raise idle_session_timeout, then run again",
	"25P03":        "raise idle_in_transaction_session_timeout, then run again",
	"25006":        "connect to the primary: this server is read-only",
	"42501":        "grant the right to the user of postgres_dsn, normally by making it the owner of CIDX's tables",
	"40P01":        "stop what else works in these tables (another cluster node?), then run again",
	"40001":        "stop what else works in these tables (another cluster node?), then run again",
	UndefinedTable: "create CIDX's schema with its migration runner, then run again",
	"3F000":        "create the schema, or correct search_path in postgres_dsn",
	"58030":        "look at the PostgreSQL server's disk and log, then run again",
	"XX001":        "PostgreSQL reports damaged data: look at its log and its disk before anything else",
	"XX002":        "PostgreSQL reports a damaged index: look at its log and its disk before anything else",
}

// Explain turns a fault of PostgreSQL into a problem.Problem at a place, usually
// the result of Where. Errors that are problems already, nil, and a cancelled
// context come back as they are. Details that may hold values of rows are left
// out.
func Explain(err error, at string) error {
	var one problem.Problem
	var problems problem.List
	if err == nil || errors.As(err, &one) || errors.As(err, &problems) || errors.Is(err, context.Canceled) {
		return err
	}
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		fix := fixes[fault.Code]
		if fix == "" {
			fix = "look at PostgreSQL's log; nothing was changed"
		}
		where := at
		if fault.TableName != "" {
			where += ", table " + fault.TableName
		}
		return problem.Problem{What: fmt.Sprintf("%s (SQLSTATE %s)", fault.Message, fault.Code), At: where, Fix: fix}
	}
	var refused *pgconn.ConnectError
	if errors.As(err, &refused) {
		return problem.Problem{What: "no connection: " + cause(err), At: at, Fix: dialFix(err)}
	}
	if Lost(err) {
		return problem.Problem{What: "connection lost: " + cause(err), At: at,
			Fix: "wait until PostgreSQL and the network are up, then run again; PostgreSQL has kept nothing of this run"}
	}
	return fmt.Errorf("%s: %w", at, err)
}

func dialFix(err error) string {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns):
		return "correct the host in postgres_dsn, or the name service of this machine"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start PostgreSQL, and correct host and port in postgres_dsn"
	case errors.Is(err, syscall.ENOENT):
		return "start PostgreSQL, and correct the socket folder in postgres_dsn"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "check host, port and firewall between this machine and PostgreSQL"
	case strings.Contains(err.Error(), "tls") || strings.Contains(err.Error(), "certificate"):
		return "correct sslmode and the certificates in postgres_dsn"
	}
	return "check host, port, user and database in postgres_dsn"
}

// Lost reports whether err means that the connection is gone.
func Lost(err error) bool {
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		return strings.HasPrefix(fault.Code, "57P0") || strings.HasPrefix(fault.Code, "08")
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &network) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// Code is the SQLSTATE of err, or "".
func Code(err error) string {
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		return fault.Code
	}
	return ""
}

// cause is the innermost text of err, in one line.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		if _, isNumber := inner.(syscall.Errno); isNumber {
			break
		}
		err = inner
	}
	// Attempts with and without TLS end in the same words, a line each.
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.Join(strings.Fields(line), " "); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}
