package database

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// compare reads every loaded table back, inside the transaction, and compares
// it with what was read from SQLite. A difference is named and ends the run.
func (p *passage) compare(ctx context.Context) error {
	var problems problem.List
	tables, rows := 0, int64(0)
	for _, t := range p.tables {
		if t.conn == nil {
			continue
		}
		p.meter.begin("comparing "+t.Name, t.rows, "")
		got, err := p.arrived(ctx, t)
		if err != nil {
			return err
		}
		if err := p.compareGuests(ctx, t); err != nil {
			return err
		}
		p.meter.end()
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
func (t *transfer) targetSum(ctx context.Context, conn *pgconn.PgConn, m *meter) (digest.Sum, error) {
	return t.sumOf(ctx, conn, m, "SELECT "+t.names()+" FROM "+t.to.Qualified()+t.ours())
}

// sumOf is the digest of the rows that a query gives.
func (t *table) sumOf(ctx context.Context, conn *pgconn.PgConn, m *meter, query string) (digest.Sum, error) {
	var sum digest.Sum
	var canon []byte
	tuples := &postgres.Tuples{Row: func(fields [][]byte) error {
		canon = canon[:0]
		for i, field := range fields {
			var err error
			if canon, err = digest.Target(canon, &t.columns[i].Column, field); err != nil {
				return err
			}
		}
		sum.Add(canon)
		if sum.Rows%4096 == 0 {
			m.at(sum.Rows)
		}
		return nil
	}}
	_, err := conn.CopyTo(ctx, tuples, "COPY ("+query+") TO STDOUT (FORMAT binary)")
	if err == nil {
		err = tuples.Close()
	}
	if err != nil {
		return sum, fmt.Errorf("read table %s back: %w", t.Name, err)
	}
	return sum, nil
}

// sourceSum is the digest of a table in SQLite, as it is to arrive.
func (t *transfer) sourceSum(ctx context.Context, m *meter) (digest.Sum, error) {
	d, err := t.read(false)
	if err != nil {
		return digest.Sum{}, err
	}
	enc := newEncoder(t.table, false)
	for d.next() {
		if enc.canonical(d.values()) == nil {
			enc.sum.Add(enc.canon)
		}
		if enc.sum.Rows%4096 == 0 {
			m.at(enc.sum.Rows)
			if err := ctx.Err(); err != nil {
				d.rows.Close()
				return enc.sum, err
			}
		}
	}
	return enc.sum, d.close()
}

// bothSums reads SQLite and PostgreSQL at the same time.
func (t *transfer) bothSums(ctx context.Context, conn *pgconn.PgConn, m *meter) (ours, theirs digest.Sum, err error) {
	var wait sync.WaitGroup
	var ourErr error
	wait.Go(func() { ours, ourErr = t.sourceSum(ctx, m) })
	theirs, err = t.targetSum(ctx, conn, m)
	wait.Wait()
	return ours, theirs, cmp.Or(err, ourErr)
}

// namedDifferences is how many rows of a table are named after a comparison
// that failed.
const namedDifferences = 20

func nameDifferences(ctx context.Context, conn *pgconn.PgConn, t *transfer, got digest.Sum) problem.List {
	fix := "nothing was committed; look for triggers and rules on CIDX's tables, or report this as a bug of the tool"
	if t.to.Triggers != "" {
		fix = "nothing was committed; disable what changes rows on their way for the migration: " + t.to.Triggers + " of " + t.Name
	}
	what := fmt.Sprintf("PostgreSQL holds other rows than SQLite after the load: %d instead of %d, digest %s instead of %s",
		got.Rows, t.sum.Rows, got, t.sum)
	summary := problem.Problem{What: what, At: t.at(), Fix: fix}
	if len(t.key) == 0 {
		return problem.List{summary}
	}
	problems := problem.List{}
	_, err := t.merge(ctx, conn, func(d difference) error {
		if len(problems) < namedDifferences {
			what := fmt.Sprintf("row %s is %s after the load%s", d.Key, d.Kind, d.inColumns())
			problems = append(problems, problem.Problem{What: what, At: t.at(), Fix: fix})
		}
		return nil
	})
	problems.Add(err)
	return append(problem.List{summary}, problems...)
}
