package database

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/problem"
)

// compare reads every loaded table back, inside the transaction, and compares
// it with what was read from SQLite. A difference is named and ends the run.
func (p *passage) compare(ctx context.Context) error {
	var problems problem.List
	tables, rows := 0, int64(0)
	for _, t := range p.tables {
		if t.Conn == nil {
			continue
		}
		p.meter.Begin("comparing "+t.Name, t.rows, "")
		got, err := p.arrived(ctx, t)
		if err != nil {
			return err
		}
		if err := p.compareGuests(ctx, t); err != nil {
			return err
		}
		p.meter.End()
		tables, rows = tables+1, rows+got.Rows
		if got != t.sum {
			problems = append(problems, nameDifferences(ctx, p.conn, t, got)...)
		}
	}
	if err := problems.Err(); err != nil {
		p.tell(ctx, "  Validation: FAILED")
		return err
	}
	p.tell(ctx, "  Validation: PASSED (%s, %s, every value compared)",
		human.Count(tables, "table", "tables"), human.Count(rows, "row", "rows"))
	return nil
}

// arrived is the digest of a table in PostgreSQL: of every row that is read
// back, or of those that are proven to be as an earlier transaction compared
// them, and of the rest that is read back.
func (p *passage) arrived(ctx context.Context, t *transfer) (digest.Sum, error) {
	if t.delta != nil {
		return t.delta.arrived(ctx, p.conn, p.meter)
	}
	return t.targetSum(ctx, p.conn, p.meter)
}

// targetSum is the digest of a table in PostgreSQL, without guests.
func (t *transfer) targetSum(ctx context.Context, conn *pgconn.PgConn, m *load.Meter) (digest.Sum, error) {
	return t.SumOf(ctx, conn, m, "SELECT "+t.Names()+" FROM "+t.To.Qualified()+t.ours())
}

// bothSums reads SQLite and PostgreSQL at the same time.
func (t *transfer) bothSums(ctx context.Context, conn *pgconn.PgConn, m *load.Meter) (ours, theirs digest.Sum, err error) {
	var wait sync.WaitGroup
	var ourErr error
	wait.Go(func() { ours, ourErr = t.SourceSum(ctx, t.left, m) })
	theirs, err = t.targetSum(ctx, conn, m)
	wait.Wait()
	return ours, theirs, cmp.Or(err, ourErr)
}

// namedDifferences is how many rows of a table are named after a comparison
// that failed.
const namedDifferences = 20

func nameDifferences(ctx context.Context, conn *pgconn.PgConn, t *transfer, got digest.Sum) problem.List {
	fix := "nothing was committed; look for triggers and rules on CIDX's tables, or report this as a bug of the tool"
	if t.To.Triggers != "" {
		fix = "nothing was committed; disable what changes rows on their way for the migration: " + t.To.Triggers + " of " + t.Name
	}
	what := fmt.Sprintf("PostgreSQL holds other rows than SQLite after the load: %d instead of %d, digest %s instead of %s",
		got.Rows, t.sum.Rows, got, t.sum)
	summary := problem.Problem{What: what, At: t.At(), Fix: fix}
	if len(t.Key) == 0 {
		return problem.List{summary}
	}
	problems := problem.List{}
	_, err := t.Merge(ctx, conn, t.left, t.ours(), func(d load.Difference) error {
		if len(problems) < namedDifferences {
			what := fmt.Sprintf("row %s is %s after the load%s", d.Key, d.Kind, d.InColumns())
			problems = append(problems, problem.Problem{What: what, At: t.At(), Fix: fix})
		}
		return nil
	})
	problems.Add(err)
	return append(problem.List{summary}, problems...)
}
