package database

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/pgcheck"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// application is how our session calls itself in pg_stat_activity.
const application = "cidx-cluster"

// session is the connection to PostgreSQL, with what its schema is.
type session struct {
	set       *settings
	conn      *pgconn.PgConn
	catalog   *postgres.Catalog
	committed bool // by this call
}

// connect opens the connection and reads the catalog. There is a session, if an
// error comes with it, where PostgreSQL was reached.
func connect(ctx context.Context, set *settings) (*session, error) {
	conn, err := postgres.Connect(ctx, set.dsn, application)
	if err != nil {
		return nil, err
	}
	s := &session{set: set, conn: conn}
	return s, s.inspect(ctx)
}

func (s *session) inspect(ctx context.Context) (err error) {
	s.catalog, err = postgres.Inspect(ctx, s.conn)
	return s.explain(err)
}

// close also ends a transaction that was not committed.
func (s *session) close() {
	if s != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
	}
}

// table spells one of our own tables for SQL.
func (s *session) table(name string) string {
	return postgres.Quote(s.catalog.Server.Schema) + "." + postgres.Quote(name)
}

// fit finds what makes a server unfit for a load, as the precheck does.
func (s *session) fit(ctx context.Context) (pooled bool, err error) {
	pooled, err = pgcheck.Fit(ctx, s.conn, s.set.dsn)
	problems := problem.Of(s.explain(err))
	if s.catalog.Server.Schema == "" {
		problems = append(problems, problem.Problem{What: "no schema of search_path exists", At: s.set.where,
			Fix: "create schema public, or correct search_path"})
	}
	return pooled && err == nil, problems.Err()
}

// hasSchema reports whether the target has any table of CIDX's.
func (s *session) hasSchema() bool {
	for _, t := range cidx.Catalogue {
		if t.Copied() && s.catalog.Tables[t.Name] != nil {
			return true
		}
	}
	return false
}

// explain turns a fault of PostgreSQL into a problem. That the connection is
// gone is told with what it means for the data.
func (s *session) explain(err error) error {
	var told problem.Problem
	var all problem.List
	var refused *pgconn.ConnectError
	known := errors.As(err, &told) || errors.As(err, &all) || errors.As(err, &refused) || errors.Is(err, context.Canceled)
	if err == nil || known || !postgres.Lost(err) || !s.set.args.loading() {
		return postgres.Explain(err, s.set.where)
	}
	what := "the connection was lost"
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		what += ": " + fault.Message
	}
	state := "nothing was committed"
	if s.committed {
		state = "the load is committed"
	}
	return problem.Problem{What: what + "; " + state, At: s.set.where, Fix: "wait until PostgreSQL and the network are up, then run again"}
}
