package database

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// explain turns a fault of PostgreSQL into a problem. That the connection is
// gone is told with what it means for the data.
func (r *runner) explain(err error) error {
	var told problem.Problem
	var all problem.List
	var refused *pgconn.ConnectError
	known := errors.As(err, &told) || errors.As(err, &all) || errors.As(err, &refused) || errors.Is(err, context.Canceled)
	if err == nil || known || !postgres.Lost(err) || !r.args.loading() {
		return postgres.Explain(err, r.where)
	}
	what := "the connection was lost"
	var fault *pgconn.PgError
	if errors.As(err, &fault) {
		what += ": " + fault.Message
	}
	state := "nothing was committed"
	if r.committed {
		state = "the load is committed"
	}
	return problem.Problem{What: what + "; " + state, At: r.where, Fix: "wait until PostgreSQL and the network are up, then run again"}
}
