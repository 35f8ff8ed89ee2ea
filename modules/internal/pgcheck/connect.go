// Package pgcheck connects to PostgreSQL and says in an operator's words what
// is wrong with it. It only reads: no table, no lock, no session setting that
// outlives it. No message of it ever holds a password.
package pgcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/secret"
)

// Timeout bounds a connection attempt, and each question of Check.
const Timeout = 8 * time.Second

// Connect opens a connection that also works behind a pooler (simple protocol).
// The error is a cidx.Problem.
func Connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	secret.KeepDSN(ctx, dsn)
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explain(config, err)
	}
	return conn, nil
}

func parse(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		what := "not a connection string"
		if cause := errors.Unwrap(err); cause != nil && !strings.Contains(cause.Error(), dsn) {
			what += ": " + cause.Error()
		}
		return nil, cidx.Problem{What: what, At: "postgres_dsn", Fix: "write it as postgresql://user:password@host:5432/database, with special characters of the password percent-encoded"}
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.ConnectTimeout = Timeout
	config.RuntimeParams["application_name"] = "cidx-cluster"
	return config, nil
}

// Address shows a connection string without its password, as
// "postgresql://cidx@pg-host:5432/cidx"; "" if it is not one.
func Address(dsn string) string {
	config, err := parse(dsn)
	if err != nil {
		return ""
	}
	return address(config)
}

func address(c *pgx.ConnConfig) string {
	u := url.URL{Scheme: "postgresql", Path: "/" + c.Database}
	if c.User != "" {
		u.User = url.User(c.User)
	}
	if strings.HasPrefix(c.Host, "/") {
		u.RawQuery = "host=" + c.Host
		return u.String()
	}
	u.Host = net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	return u.String()
}

// explain turns a failed attempt into a Problem.
func explain(c *pgx.ConnConfig, err error) cidx.Problem {
	p := cidx.Problem{At: address(c)}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		p.What, p.Fix = refusal(c, refused)
		return p
	}
	p.What, p.Fix = unreachable(c, err)
	return p
}

// refusal explains what the server itself said (PostgreSQL, appendix A).
func refusal(c *pgx.ConnConfig, e *pgconn.PgError) (what, fix string) {
	what = e.Message
	switch e.Code {
	case "28P01":
		return fmt.Sprintf("wrong password for user %q", c.User), "correct postgres_dsn in config.json (cluster-join.sh wrote it), or set cidx_postgres_dsn"
	case "28000":
		if strings.Contains(e.Message, "no encryption") || strings.Contains(e.Message, "SSL off") {
			return what, "the server wants TLS: add sslmode=require to postgres_dsn"
		}
		return what, "create the role, or allow this node in the server's pg_hba.conf"
	case "3D000":
		return fmt.Sprintf("database %q does not exist", c.Database), "create it (createdb -O " + c.User + " " + c.Database + "), or correct postgres_dsn"
	case "53300":
		return what, "close connections or raise max_connections; a CIDX node needs up to 26 a worker"
	case "57P03":
		return what, "wait until the server has started or recovered, then run again"
	case "42501":
		return what, "grant the role CONNECT on the database"
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", what, e.Code), "see the server's log"
}

// unreachable explains why no server answered.
func unreachable(c *pgx.ConnConfig, err error) (what, fix string) {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var expired x509.CertificateInvalidError
	var record tls.RecordHeaderError
	host := fmt.Sprintf("%s:%d", c.Host, c.Port)
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("no such host: %q", c.Host), "correct the host in postgres_dsn, or the name service of this node"
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &expired):
		return "the server's certificate is not accepted: " + certificate(err), "correct sslrootcert or the host in postgres_dsn; sslmode=require encrypts without checking the certificate"
	case errors.As(err, &record), strings.Contains(err.Error(), "refused TLS"):
		return "the server does not speak TLS", "set sslmode=prefer in postgres_dsn, or switch TLS on at the server"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens at " + host, "start PostgreSQL, or correct host and port in postgres_dsn (listen_addresses on the server)"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to " + host, "check the network between this node and the database"
	case errors.Is(err, os.ErrNotExist):
		return "no such socket below " + c.Host, "start PostgreSQL, or correct host in postgres_dsn"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no answer from %s within %s", host, Timeout), "check firewall and network between this node and the database"
	}
	return "connect: " + cause(err), "check postgres_dsn and the server's log"
}

// certificate is the innermost text of a certificate error.
func certificate(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// cause drops pgx's prefix, which repeats user and database.
func cause(err error) string {
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		if inner := failed.Unwrap(); inner != nil {
			return inner.Error()
		}
	}
	return err.Error()
}
