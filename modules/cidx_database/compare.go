package database

import (
	"context"
	"fmt"

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
			problems = append(problems, p.nameDifferences(ctx, t, got)...)
		}
	}
	if err := problems.Err(); err != nil {
		p.tell(ctx, "  Validation: FAILED")
		return err
	}
	p.tell(ctx, "  Validation: PASSED (%s, %s, every value compared)", human.Count(tables, "table", "tables"), human.Count(rows, "row", "rows"))
	return nil
}

// arrived is the digest of a table in PostgreSQL: of every row that is read
// back, or of those that are proven to be as an earlier transaction compared
// them, and of the rest that is read back.
func (p *passage) arrived(ctx context.Context, t *table) (digest.Sum, error) {
	if t.delta != nil {
		return t.delta.arrived(ctx, p)
	}
	return p.targetSum(ctx, t)
}

// targetSum is the digest of a table in PostgreSQL, without guests.
func (r *runner) targetSum(ctx context.Context, t *table) (digest.Sum, error) {
	return t.sumOf(ctx, r, "SELECT "+t.names()+" FROM "+t.to.Qualified()+t.ours())
}

// sumOf is the digest of the rows that a query gives.
func (t *table) sumOf(ctx context.Context, r *runner, query string) (digest.Sum, error) {
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
			r.meter.at(sum.Rows)
		}
		return nil
	}}
	_, err := r.conn.CopyTo(ctx, tuples, "COPY ("+query+") TO STDOUT (FORMAT binary)")
	if err == nil {
		err = tuples.Close()
	}
	if err != nil {
		return sum, fmt.Errorf("read table %s back: %w", t.Name, err)
	}
	return sum, nil
}

// sourceSum is the digest of a table in SQLite, as it is to arrive.
func (r *runner) sourceSum(ctx context.Context, t *table) (digest.Sum, error) {
	d, err := r.read(t, false)
	if err != nil {
		return digest.Sum{}, err
	}
	enc := encoder{columns: t.columns}
	for d.next() {
		if _, fault := enc.canonical(d.values()); fault == nil {
			enc.sum.Add(enc.canon)
		}
		if enc.sum.Rows%4096 == 0 {
			r.meter.at(enc.sum.Rows)
			if err := ctx.Err(); err != nil {
				d.rows.Close()
				return enc.sum, err
			}
		}
	}
	return enc.sum, d.close()
}

// namedDifferences is how many rows of a table are named after a comparison
// that failed.
const namedDifferences = 20

func (r *runner) nameDifferences(ctx context.Context, t *table, got digest.Sum) problem.List {
	fix := "nothing was committed; look for triggers and rules on CIDX's tables, or report this as a bug of the tool"
	if t.to.Triggers != "" {
		fix = "nothing was committed; disable what changes rows on their way for the migration: " + t.to.Triggers + " of " + t.Name
	}
	summary := problem.Problem{What: fmt.Sprintf("PostgreSQL holds other rows than SQLite after the load: %d instead of %d, digest %s instead of %s", got.Rows, t.sum.Rows, got, t.sum), At: t.at(), Fix: fix}
	if len(t.key) == 0 {
		return problem.List{summary}
	}
	problems := problem.List{}
	err := r.merge(ctx, t, func(d difference) error {
		if len(problems) < namedDifferences {
			problems = append(problems, problem.Problem{What: fmt.Sprintf("row %s is %s after the load%s", d.Key, d.Kind, d.inColumns()), At: t.at(), Fix: fix})
		}
		return nil
	})
	problems.Add(err)
	return append(problem.List{summary}, problems...)
}
