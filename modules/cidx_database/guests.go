package database

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// guests are rows of the target that are this server's own and not in SQLite:
// its index runs read config.json anew and write to PostgreSQL as soon as
// cluster-join.sh has changed it (CIDX 11.79). They stay, under ids above those
// of the rows that are loaded.
type guests struct {
	ids    []int64
	beside int64  // rows that a warm load has given such ids already
	above  int64  // every id up to this one belongs to a row of SQLite
	before string // rows and digest, without the ids; "" while index runs may add to them
}

// String is the end of a transcript line.
func (g *guests) String() string {
	return human.Count(len(g.ids), "row", "rows") + " of index runs, under new ids"
}

// numbered reports whether one integer that a sequence fills identifies a row.
func (t *table) numbered() bool {
	if len(t.key) != 1 || t.columns[t.key[0]].Sequence == "" {
		return false
	}
	kind := t.columns[t.key[0]].Type.Kind
	return slices.Contains([]convert.Kind{convert.Int2, convert.Int4, convert.Int8}, kind)
}

// add notes the row with the canonical id.
func (g *guests) add(field []byte) {
	if v := canonicalValue(field); len(v) == 8 {
		g.ids = append(g.ids, int64(binary.BigEndian.Uint64(v)))
	}
}

// invite settles where the guests go.
func (t *transfer) invite(g guests, where string) error {
	if len(g.ids) == 0 {
		return nil
	}
	ours, err := t.highest(t.columns[t.key[0]].Name)
	if err != nil {
		return err
	}
	last := slices.Max(g.ids)
	g.above = max(ours, last, 0)
	if limit := largest(t.columns[t.key[0]].Type.Kind); g.above >= limit-max(last, 0) {
		return problem.Problem{What: fmt.Sprintf("no ids are left for %d rows that stay: the highest is %d", len(g.ids), g.above),
			At: where + ", table " + t.Name, Fix: "delete these rows in PostgreSQL, or give them lower ids, then run again"}
	}
	t.guests = &g
	return nil
}

func (t *table) idName() string { return postgres.Quote(t.columns[t.key[0]].Name) }

// moveGuests gives the guests their new ids, in the transaction.
func (p *passage) moveGuests(ctx context.Context, t *transfer) error {
	g := t.guests
	if g == nil {
		return nil
	}
	list := "{" + join(g.ids, ",", func(id int64) string { return strconv.FormatInt(id, 10) }) + "}"
	condition := " WHERE " + t.idName() + " = ANY ($1::bigint[])"
	var err error
	if g.before, err = guestSum(ctx, p.conn, t, condition, list); err != nil {
		return err
	}
	_, err = postgres.Rows(ctx, p.conn, "UPDATE "+t.to.Qualified()+" SET "+t.idName()+" = "+t.idName()+" + "+
		strconv.FormatInt(g.above, 10)+condition, list)
	if err != nil {
		return fmt.Errorf("keep rows of %s under new ids: %w", t.Name, err)
	}
	p.tell(ctx, "  Keeping %s... %s", t.Name, g)
	return nil
}

// compareGuests proves that they are what they were, but for the ids.
func (p *passage) compareGuests(ctx context.Context, t *transfer) error {
	if t.guests == nil || t.guests.before == "" {
		return nil
	}
	after, err := guestSum(ctx, p.conn, t, " WHERE "+t.idName()+" > "+strconv.FormatInt(t.guests.above, 10))
	if err == nil && after != t.guests.before {
		err = problem.Problem{What: "the rows that were to stay have changed", At: p.where + ", table " + t.Name,
			Fix: "nothing was committed; look for triggers and rules on the table"}
	}
	return err
}

// guestSum is the number of rows and a digest of all but their ids.
func guestSum(ctx context.Context, conn *pgconn.PgConn, t *transfer, condition string, args ...string) (string, error) {
	rows, err := postgres.Rows(ctx, conn, "SELECT count(*), sum(hashtextextended((to_jsonb(g) - "+
		postgres.Literal(t.columns[t.key[0]].Name)+")::text, 0)) FROM "+t.to.Qualified()+" g"+condition, args...)
	if err != nil {
		return "", fmt.Errorf("count rows of %s that stay: %w", t.Name, err)
	}
	return string(rows[0][0]) + " " + string(rows[0][1]), nil
}
