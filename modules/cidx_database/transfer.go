package database

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/warm"
)

// transfer is what one passage does about a table: what it found in the target,
// and what it has put there.
type transfer struct {
	*table
	rows   int64 // a guess until the table is loaded
	status string
	seeded int64      // rows of a first start that the target has
	guests *guests    // rows of the target that stay beside ours
	but    string     // condition on rows of the target that are looked at; "" for all
	frozen bool       // loaded with COPY FREEZE
	delta  *delta     // what has changed since the warm load; nil if the table is loaded as a whole
	sum    digest.Sum // of the rows that were sent
	tally  load.Tally // what was changed in them
	left   []int64    // sorted ids of rows that are left out
}

// transfers are those of a plan, in its order.
type transfers []*transfer

func (p *plan) transfers() transfers {
	list := make(transfers, len(p.tables))
	for i, t := range p.tables {
		list[i] = &transfer{table: t, rows: t.guess}
	}
	return list
}

func (list transfers) find(name string) *transfer {
	for _, t := range list {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// totals are those of all tables that have a source.
type totals struct {
	tables  int
	rows    int64
	work    int64 // rows to carry over, and to read back
	left    int64 // rows that are left out
	changes load.Tally
}

func (list transfers) totals() (sum totals) {
	for _, t := range list {
		if t.Conn == nil {
			continue
		}
		sum.tables++
		sum.rows += t.rows
		sum.left += int64(len(t.left))
		sum.changes = sum.changes.Plus(t.tally)
		sum.work += t.rows
		if t.status != statusKept {
			sum.work += t.rows
		}
	}
	return sum
}

func (list transfers) marks() map[string]tableMark {
	marks := map[string]tableMark{}
	for _, t := range list {
		if t.Conn != nil {
			marks[t.Name] = tableMark{Rows: t.sum.Rows, Digest: t.sum.String(), Left: t.left}
		}
	}
	return marks
}

// ours is the condition of the rows that are, or will be, SQLite's.
func (t *transfer) ours() string {
	var conditions []string
	if t.guests != nil {
		conditions = append(conditions, t.IDName()+" <= "+strconv.FormatInt(t.guests.above, 10))
	}
	if t.but != "" {
		conditions = append(conditions, t.but)
	}
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// target spells the table for package warm.
func (t *transfer) target() warm.Target {
	to := warm.Target{Table: t.To.Qualified()}
	for _, c := range t.Columns {
		to.Columns = append(to.Columns, postgres.Quote(c.Name))
	}
	for _, k := range t.Key {
		to.Key = append(to.Key, postgres.Quote(t.Columns[k].Name))
	}
	if condition, ok := strings.CutPrefix(t.ours(), " WHERE "); ok && t.guests != nil {
		to.Where = "t." + condition
	}
	return to
}

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
