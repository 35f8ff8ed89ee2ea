package load

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/postgres"
)

// SumOf is the digest of the rows that a query gives.
func (t *Table) SumOf(ctx context.Context, conn *pgconn.PgConn, m *Meter, query string) (digest.Sum, error) {
	var sum digest.Sum
	var canon []byte
	tuples := &postgres.Tuples{Row: func(fields [][]byte) error {
		canon = canon[:0]
		for i, field := range fields {
			var err error
			if canon, err = digest.Target(canon, &t.Columns[i].Column, field); err != nil {
				return err
			}
		}
		sum.Add(canon)
		if sum.Rows%4096 == 0 {
			m.At(sum.Rows)
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

// SourceSum is the digest of a table in SQLite, as it is to arrive without the
// rows left.
func (t *Table) SourceSum(ctx context.Context, left []int64, m *Meter) (digest.Sum, error) {
	d, err := t.Read(left, false)
	if err != nil {
		return digest.Sum{}, err
	}
	enc := NewEncoder(t, false)
	for d.Next() {
		if enc.canonical(d.Values()) == nil {
			enc.Sum.Add(enc.canon)
		}
		if enc.Sum.Rows%4096 == 0 {
			m.At(enc.Sum.Rows)
			if err := ctx.Err(); err != nil {
				d.Stop()
				return enc.Sum, err
			}
		}
	}
	return enc.Sum, d.Close()
}
