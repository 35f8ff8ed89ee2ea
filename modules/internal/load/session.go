package load

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// Application is how a session calls itself in pg_stat_activity.
const Application = "cidx-cluster"

// Session is the connection to PostgreSQL, with what its schema is.
type Session struct {
	Conn      *pgconn.PgConn
	Catalog   *postgres.Catalog
	Where     string // the database, without its password
	Committed bool   // a passage, by this session
	loading   bool
}

// Connect opens the connection and reads the catalog. There is a session, if an
// error comes with it, where PostgreSQL was reached. loading tells that rows are
// to be written.
func Connect(ctx context.Context, dsn string, loading bool) (*Session, error) {
	conn, err := postgres.Connect(ctx, dsn, Application)
	if err != nil {
		return nil, err
	}
	s := &Session{Conn: conn, Where: postgres.WhereDSN(dsn), loading: loading}
	return s, s.Inspect(ctx)
}

// Inspect reads the catalog.
func (s *Session) Inspect(ctx context.Context) (err error) {
	s.Catalog, err = postgres.Inspect(ctx, s.Conn)
	return s.Explain(err)
}

// Close also ends a transaction that was not committed.
func (s *Session) Close() {
	if s != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Conn.Close(ctx)
	}
}

// Table spells one of our own tables for SQL.
func (s *Session) Table(name string) string {
	return postgres.Quote(s.Catalog.Server.Schema) + "." + postgres.Quote(name)
}

// Explain turns a fault of PostgreSQL into a problem. That the connection is
// gone is told with what it means for the data.
func (s *Session) Explain(err error) error {
	var told problem.Problem
	var all problem.List
	var refused *pgconn.ConnectError
	known := errors.As(err, &told) || errors.As(err, &all) || errors.As(err, &refused) || errors.Is(err, context.Canceled)
	if err == nil || known || !postgres.Lost(err) || !s.loading {
		return postgres.Explain(err, s.Where)
	}
	what := "the connection was lost"
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		what += ": " + fault.Message
	}
	state := "nothing was committed"
	if s.Committed {
		state = "the load is committed"
	}
	return problem.Problem{What: what + "; " + state, At: s.Where, Fix: "wait until PostgreSQL and the network are up, then run again"}
}

// Analyze gathers the planner's statistics of what was loaded. It leaves large
// tables to autovacuum where it runs: it comes within a minute, and sampling them
// would take a tenth of the whole load.
func (s *Session) Analyze(ctx context.Context, tables Transfers) error {
	rows, err := postgres.Rows(ctx, s.Conn, "SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool")
	if err != nil {
		return err
	}
	automatic := string(rows[0][0]) == "t"
	var names []string
	for _, t := range tables {
		if t.Conn != nil && t.To.Owned && !(t.Large && automatic) && !t.Still {
			names = append(names, t.To.Qualified())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return postgres.Run(ctx, s.Conn, "ANALYZE "+strings.Join(names, ", "))
}
