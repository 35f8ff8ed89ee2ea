package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// Guests are rows of the target that are this server's own and not in SQLite:
// its index runs write to PostgreSQL as soon as it is joined. They stay, under ids
// above those of the rows that are loaded.
type Guests struct {
	ids    []int64
	Beside int64  // rows that a warm load has given such ids already
	Above  int64  // every id up to this one belongs to a row of SQLite
	before string // rows and digest, without the ids; "" while index runs may add to them
}

// Stay is how many rows stay.
func (g *Guests) Stay() int64 { return int64(len(g.ids)) + g.Beside }

// String is the end of a transcript line.
func (g *Guests) String() string {
	return human.Count(len(g.ids), "row", "rows") + " of index runs, under new ids"
}

// add notes the row with the canonical id.
func (g *Guests) add(field []byte) {
	if v := canonicalValue(field); len(v) == 8 {
		g.ids = append(g.ids, int64(binary.BigEndian.Uint64(v)))
	}
}

// invite settles where the guests go.
func (t *Transfer) invite(g Guests, where string) error {
	if len(g.ids) == 0 {
		return nil
	}
	ours, err := t.Highest(t.Columns[t.Key[0]].Name)
	if err != nil {
		return err
	}
	last := slices.Max(g.ids)
	g.Above = max(ours, last, 0)
	if limit := t.Columns[t.Key[0]].Type.Kind.Largest(); g.Above >= limit-max(last, 0) {
		return problem.Problem{What: fmt.Sprintf("no ids are left for %d rows that stay: the highest is %d", len(g.ids), g.Above),
			At: where + ", table " + t.Name, Fix: "delete these rows in PostgreSQL, or give them lower ids, then run again"}
	}
	t.Guests = &g
	return nil
}

// moveGuests gives the guests their new ids, in the transaction.
func (p *Passage) moveGuests(ctx context.Context, t *Transfer) error {
	g := t.Guests
	if g == nil {
		return nil
	}
	list := "{" + Join(g.ids, ",", func(id int64) string { return strconv.FormatInt(id, 10) }) + "}"
	condition := " WHERE " + t.IDName() + " = ANY ($1::bigint[])"
	var err error
	if g.before, err = guestSum(ctx, p.Conn, t, condition, list); err != nil {
		return err
	}
	_, err = postgres.Rows(ctx, p.Conn, "UPDATE "+t.To.Qualified()+" SET "+t.IDName()+" = "+t.IDName()+" + "+
		strconv.FormatInt(g.Above, 10)+condition, list)
	if err != nil {
		return fmt.Errorf("keep rows of %s under new ids: %w", t.Name, err)
	}
	p.tell(ctx, "  Keeping %s... %s", t.Name, g)
	return nil
}

// compareGuests proves that they are what they were, but for the ids.
func (p *Passage) compareGuests(ctx context.Context, t *Transfer) error {
	if t.Guests == nil || t.Guests.before == "" {
		return nil
	}
	after, err := guestSum(ctx, p.Conn, t, " WHERE "+t.IDName()+" > "+strconv.FormatInt(t.Guests.Above, 10))
	if err == nil && after != t.Guests.before {
		err = problem.Problem{What: "the rows that were to stay have changed", At: p.Where + ", table " + t.Name,
			Fix: "nothing was committed; look for triggers and rules on the table"}
	}
	return err
}

// guestSum is the number of rows and a digest of all but their ids.
func guestSum(ctx context.Context, conn *pgconn.PgConn, t *Transfer, condition string, args ...string) (string, error) {
	rows, err := postgres.Rows(ctx, conn, "SELECT count(*), sum(hashtextextended((to_jsonb(g) - "+
		postgres.Literal(t.Columns[t.Key[0]].Name)+")::text, 0)) FROM "+t.To.Qualified()+" g"+condition, args...)
	if err != nil {
		return "", fmt.Errorf("count rows of %s that stay: %w", t.Name, err)
	}
	return string(rows[0][0]) + " " + string(rows[0][1]), nil
}
