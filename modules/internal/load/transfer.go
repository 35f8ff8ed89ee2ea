package load

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
	"cidx-cluster/modules/internal/problem"
)

// Statuses of a table.
const (
	StatusEmpty    = "to load"  // nothing in the target
	StatusReplaced = "replaced" // rows of a first start, or of a load that was given up
	StatusKept     = "kept"     // the target has exactly our rows
	StatusLoaded   = "loaded"
)

// Transfer is what one passage does about a table: what it found in the target,
// and what it has put there.
type Transfer struct {
	*Table
	Rows   int64 // a guess until the table is loaded
	Status string
	Seeded int64      // rows of a first start that the target has
	Guests *Guests    // rows of the target that stay beside ours
	Sum    digest.Sum // of the rows that were sent
	Tally  Tally      // what was changed in them
	Left   []int64    // sorted ids of rows that are left out
	Still  bool       // an earlier passage has loaded it, and no row is other since
	// Proof is the digest of what the target holds where not all of it has to be
	// read back for that; nil: all has.
	Proof  func(context.Context, *Passage) (digest.Sum, error)
	others string // condition on rows of the target that are looked at; "" for all
	frozen bool   // loaded with COPY FREEZE
}

// Transfers are those of a plan, in its order.
type Transfers []*Transfer

// Find is the one of a table, nil if there is none.
func (list Transfers) Find(name string) *Transfer {
	for _, t := range list {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Totals are those of all tables that have a source.
type Totals struct {
	Tables  int
	Rows    int64
	Left    int64 // rows that are left out
	Changes Tally
	work    int64 // rows to carry over, and to read back
}

func (list Transfers) Totals() (sum Totals) {
	for _, t := range list {
		if t.Conn == nil {
			continue
		}
		sum.Tables++
		sum.Rows += t.Rows
		sum.Left += int64(len(t.Left))
		sum.Changes = sum.Changes.Plus(t.Tally)
		sum.work += t.Rows
		if t.Status != StatusKept {
			sum.work += t.Rows
		}
	}
	return sum
}

// Mark is what a record keeps of the rows that were loaded into a table.
type Mark struct {
	Rows   int64   `json:"rows"`
	Digest string  `json:"digest"`
	Left   []int64 `json:"left,omitempty"` // ids of SQLite's rows in quarantine
}

// Sum is the digest with the number of rows.
func (m Mark) Sum() (digest.Sum, error) { return digest.Parse(m.Digest, m.Rows) }

// Marks are those of all tables that have a source.
func (list Transfers) Marks() map[string]Mark {
	marks := map[string]Mark{}
	for _, t := range list {
		if t.Conn != nil {
			marks[t.Name] = Mark{Rows: t.Sum.Rows, Digest: t.Sum.String(), Left: t.Left}
		}
	}
	return marks
}

// Ours is the condition of the rows that are, or will be, SQLite's.
func (t *Transfer) Ours() string {
	var conditions []string
	if t.Guests != nil {
		conditions = append(conditions, t.IDName()+" <= "+strconv.FormatInt(t.Guests.Above, 10))
	}
	if t.others != "" {
		conditions = append(conditions, t.others)
	}
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// Compare reads every loaded table back, inside the transaction, and compares
// it with what was read from SQLite. A difference is named and ends the run.
func (p *Passage) Compare(ctx context.Context) error {
	var problems problem.List
	tables, rows := 0, int64(0)
	for _, t := range p.Tables {
		if t.Conn == nil {
			continue
		}
		p.Meter.Begin("comparing "+t.Name, t.Rows, "")
		arrived := t.Proof
		if arrived == nil {
			arrived = t.readBack
		}
		got, err := arrived(ctx, p)
		if err != nil {
			return err
		}
		if err := p.compareGuests(ctx, t); err != nil {
			return err
		}
		p.Meter.End()
		tables, rows = tables+1, rows+got.Rows
		if got != t.Sum {
			problems = append(problems, nameDifferences(ctx, p.Conn, t, got)...)
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

func (t *Transfer) readBack(ctx context.Context, p *Passage) (digest.Sum, error) {
	return t.TargetSum(ctx, p.Conn, p.Meter)
}

// TargetSum is the digest of a table in PostgreSQL, without guests.
func (t *Transfer) TargetSum(ctx context.Context, conn *pgconn.PgConn, m *Meter) (digest.Sum, error) {
	return t.SumOf(ctx, conn, m, "SELECT "+t.Names()+" FROM "+t.To.Qualified()+t.Ours())
}

// BothSums reads SQLite and PostgreSQL at the same time.
func (t *Transfer) BothSums(ctx context.Context, conn *pgconn.PgConn, m *Meter) (ours, theirs digest.Sum, err error) {
	var wait sync.WaitGroup
	var ourErr error
	wait.Go(func() { ours, ourErr = t.SourceSum(ctx, t.Left, m) })
	theirs, err = t.TargetSum(ctx, conn, m)
	wait.Wait()
	return ours, theirs, cmp.Or(err, ourErr)
}

// namedDifferences is how many rows of a table are named after a comparison
// that failed.
const namedDifferences = 20

func nameDifferences(ctx context.Context, conn *pgconn.PgConn, t *Transfer, got digest.Sum) problem.List {
	fix := "nothing was committed; look for triggers and rules on CIDX's tables, or report this as a bug of the tool"
	if t.To.Triggers != "" {
		fix = "nothing was committed; disable what changes rows on their way for the migration: " + t.To.Triggers + " of " + t.Name
	}
	what := fmt.Sprintf("PostgreSQL holds other rows than SQLite after the load: %d instead of %d, digest %s instead of %s",
		got.Rows, t.Sum.Rows, got, t.Sum)
	summary := problem.Problem{What: what, At: t.At(), Fix: fix}
	if len(t.Key) == 0 {
		return problem.List{summary}
	}
	problems := problem.List{}
	_, err := t.Merge(ctx, conn, t.Left, t.Ours(), func(d Difference) error {
		if len(problems) < namedDifferences {
			what := fmt.Sprintf("row %s is %s after the load%s", d.Key, d.Kind, d.inColumns())
			problems = append(problems, problem.Problem{What: what, At: t.At(), Fix: fix})
		}
		return nil
	})
	problems.Add(err)
	return append(problem.List{summary}, problems...)
}
