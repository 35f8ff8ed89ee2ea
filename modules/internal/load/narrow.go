package load

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/problem"
)

// narrowing finds the rows that PostgreSQL refuses, by loading a table in small
// batches with its indexes in place, each under a savepoint. A batch that is
// refused is divided until the rows that are refused are alone; of rows that
// exclude each other the one with the lowest id stays.
type narrowing struct {
	*Passage
	t      *Transfer
	rows   []sent
	buf    []byte // the tuples of rows
	passed int64
	waits  []Find          // while it is not known whether any row passes
	last   *pgconn.PgError // of waits
}

// sent is a row of the batch.
type sent struct {
	id  int64
	end int // of its tuple
}

const (
	batchRows  = 500
	batchBytes = 1 << 20

	undecided = 1000 // refused rows after which no row is expected to pass any more
)

// errEnough ends a search that has found as many rows as are named.
var errEnough = errors.New("enough rows are named")

// nameRefused loads every table that is not there yet row by row, where need be.
func (p *Passage) nameRefused(ctx context.Context) error {
	// What waits for the commit is refused with the rows that it is about.
	if err := p.RunDeferred(ctx); err != nil {
		return err
	}
	return p.each(ctx, p.Tables, func(t *Transfer) error {
		if t.Status == StatusKept || t.Conn == nil {
			return nil
		}
		return p.narrow(ctx, t)
	})
}

// narrow loads the rows that PostgreSQL takes, and names the others.
func (p *Passage) narrow(ctx context.Context, t *Transfer) error {
	t.Left, t.frozen = nil, false
	n := &narrowing{Passage: p, t: t}
	read, err := n.read(ctx)
	slices.Sort(t.Left)
	if errors.Is(err, errEnough) {
		return problem.Problem{What: fmt.Sprintf("%s of the first %s rows are refused; those after them were not tried",
			human.Number(p.Most), human.Number(read)), At: t.At(),
			Fix: "correct those that are named, then rehearse again; or set cidx_database_quarantine, with which all are tried"}
	}
	if err != nil {
		return err
	}
	t.Sum, err = t.SourceSum(ctx, t.Left, p.Meter)
	t.Rows, t.Status = t.Sum.Rows, StatusLoaded
	return err
}

func (n *narrowing) read(ctx context.Context) (rows int64, err error) {
	n.Meter.Begin("looking for what is refused in "+n.t.Name, n.t.Rows, "")
	d, err := n.t.Read(nil, false)
	if err != nil {
		return 0, err
	}
	defer d.Stop()
	enc := NewEncoder(n.t.Table, false)
	for d.Next() {
		var fault *convert.Fault
		rows++
		if n.buf, fault = enc.Append(n.buf, d.Values()); fault != nil {
			for _, x := range misfits(n.t.Table, d.ID(), d.Values(), &enc) {
				if err := n.Finds.add(&n.Lists, x); err != nil {
					return rows, err
				}
			}
			n.t.Left = append(n.t.Left, d.ID())
			continue
		}
		n.rows = append(n.rows, sent{d.ID(), len(n.buf)})
		if len(n.rows) == batchRows || len(n.buf) >= batchBytes {
			n.Meter.At(rows)
			if err := n.flush(ctx); err != nil {
				return rows, err
			}
		}
	}
	n.t.Tally = d.Tally
	n.DoubtTimes(n.t.Table, enc.Columns)
	n.DoubtReferences(n.t)
	if err := n.flush(ctx); err != nil {
		return rows, err
	}
	if err := n.settle(); err != nil {
		return rows, err
	}
	return rows, d.Close()
}

func (n *narrowing) flush(ctx context.Context) error {
	err := n.put(ctx, 0, len(n.rows))
	n.rows, n.buf = n.rows[:0], n.buf[:0]
	return err
}

// put loads some rows of the batch, and divides them where they are refused.
func (n *narrowing) put(ctx context.Context, from, to int) error {
	if from == to {
		return nil
	}
	err := n.within(ctx, func() error { return n.send(ctx, from, to) })
	switch {
	case err == nil:
		n.passed += int64(to - from)
		return nil
	case !ofRow(err):
		return err
	case to-from == 1:
		return n.refuse(ctx, n.rows[from].id, err)
	}
	until, next := (from+to)/2, (from+to)/2
	if line := lineOf(err); line >= 1 && line <= to-from {
		until, next = from+line-1, from+line // that row alone: it need not be the reason
	}
	for _, part := range [][2]int{{from, until}, {until, next}, {next, to}} {
		if err := n.put(ctx, part[0], part[1]); err != nil {
			return err
		}
	}
	return nil
}

func (n *narrowing) send(ctx context.Context, from, to int) error {
	start := 0
	if from > 0 {
		start = n.rows[from-1].end
	}
	_, err := n.Conn.CopyFrom(ctx, Copied(n.buf[start:n.rows[to-1].end]), n.t.CopyFrom(n.t.frozen))
	return err
}

// refuse notes a row that PostgreSQL does not take. A refusal that has nothing to
// do with values waits until another row has passed.
func (n *narrowing) refuse(ctx context.Context, id int64, err error) error {
	var fault *pgconn.PgError
	if !errors.As(err, &fault) {
		return err
	}
	x, err := why(ctx, n.Conn, n.t.Table, id, fault)
	if err != nil {
		return err
	}
	n.t.Left = append(n.t.Left, id)
	if n.passed == 0 && !ofValues(fault) {
		n.waits, n.last = append(n.waits, x), fault
		if len(n.waits) >= undecided {
			return n.settle()
		}
		return nil
	}
	if n.passed > 0 {
		if err := n.settle(); err != nil {
			return err
		}
	}
	if err := n.Finds.add(&n.Lists, x); err != nil {
		return err
	}
	if int64(len(n.t.Left)) >= n.Most {
		return errEnough
	}
	return nil
}

// settle decides whether what waits was the rows' fault.
func (n *narrowing) settle() error {
	if n.passed == 0 && len(n.waits) > 0 {
		n.t.Left = nil
		return everyRow(n.t.Table, n.last, n.Where)
	}
	for _, x := range n.waits {
		if err := n.Finds.add(&n.Lists, x); err != nil {
			return err
		}
	}
	n.waits = nil
	return nil
}
