package database

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
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

// add notes the row with the canonical id.
func (g *guests) add(field []byte) {
	if v := load.CanonicalValue(field); len(v) == 8 {
		g.ids = append(g.ids, int64(binary.BigEndian.Uint64(v)))
	}
}

// invite settles where the guests go.
func (t *transfer) invite(g guests, where string) error {
	if len(g.ids) == 0 {
		return nil
	}
	ours, err := t.Highest(t.Columns[t.Key[0]].Name)
	if err != nil {
		return err
	}
	last := slices.Max(g.ids)
	g.above = max(ours, last, 0)
	if limit := load.Largest(t.Columns[t.Key[0]].Type.Kind); g.above >= limit-max(last, 0) {
		return problem.Problem{What: fmt.Sprintf("no ids are left for %d rows that stay: the highest is %d", len(g.ids), g.above),
			At: where + ", table " + t.Name, Fix: "delete these rows in PostgreSQL, or give them lower ids, then run again"}
	}
	t.guests = &g
	return nil
}

// moveGuests gives the guests their new ids, in the transaction.
func (p *passage) moveGuests(ctx context.Context, t *transfer) error {
	g := t.guests
	if g == nil {
		return nil
	}
	list := "{" + load.Join(g.ids, ",", func(id int64) string { return strconv.FormatInt(id, 10) }) + "}"
	condition := " WHERE " + t.IDName() + " = ANY ($1::bigint[])"
	var err error
	if g.before, err = guestSum(ctx, p.conn, t, condition, list); err != nil {
		return err
	}
	_, err = postgres.Rows(ctx, p.conn, "UPDATE "+t.To.Qualified()+" SET "+t.IDName()+" = "+t.IDName()+" + "+
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
	after, err := guestSum(ctx, p.conn, t, " WHERE "+t.IDName()+" > "+strconv.FormatInt(t.guests.above, 10))
	if err == nil && after != t.guests.before {
		err = problem.Problem{What: "the rows that were to stay have changed", At: p.where + ", table " + t.Name,
			Fix: "nothing was committed; look for triggers and rules on the table"}
	}
	return err
}

// guestSum is the number of rows and a digest of all but their ids.
func guestSum(ctx context.Context, conn *pgconn.PgConn, t *transfer, condition string, args ...string) (string, error) {
	rows, err := postgres.Rows(ctx, conn, "SELECT count(*), sum(hashtextextended((to_jsonb(g) - "+
		postgres.Literal(t.Columns[t.Key[0]].Name)+")::text, 0)) FROM "+t.To.Qualified()+" g"+condition, args...)
	if err != nil {
		return "", fmt.Errorf("count rows of %s that stay: %w", t.Name, err)
	}
	return string(rows[0][0]) + " " + string(rows[0][1]), nil
}

// Index runs of the joined server go on writing to PostgreSQL while it is loaded
// (cidx.Table.Grows). They get their ids from the sequence, and must neither wait
// for ours nor meet them.

// reservePatience is how long a row of an index run may wait for us.
const reservePatience = "500ms"

// room is how many ids are left free for rows that SQLite gets until the stop.
const room = 1_000_000

// reserve keeps the ids up to above free for the rows of SQLite: rows that are
// there get higher ones, and the sequence goes on after them. It has a short
// transaction of its own: writers wait for milliseconds, not for the load. was is
// what an earlier warm load has left; why says why it could not be done.
func reserve(ctx context.Context, s *session, was *warmth, t *table) (why string, above int64, err error) {
	highest, err := t.Highest(t.Columns[t.Key[0]].Name)
	if err != nil {
		return "", 0, err
	}
	above = 2*max(highest, 0) + room
	if was != nil {
		above = max(above, was.Tables[t.Name].Above)
	}
	if above > load.Largest(t.Columns[t.Key[0]].Type.Kind)/8 {
		return "its ids are almost used up", 0, nil
	}
	for range 5 {
		if err = moveAbove(ctx, s.conn, was, t, above); err == nil {
			return "", above, nil
		}
		if rollback := postgres.Run(ctx, s.conn, "ROLLBACK"); rollback != nil {
			return "", 0, err
		}
		if postgres.Code(err) != "55P03" {
			break
		}
	}
	if postgres.Lost(err) || postgres.Code(err) == "" {
		return "", 0, err
	}
	return "the ids of rows that index runs wrote cannot be changed now: " + s.explain(err).Error(), 0, nil
}

func moveAbove(ctx context.Context, conn *pgconn.PgConn, was *warmth, t *table, above int64) error {
	c := &t.Columns[t.Key[0]]
	table, id := t.To.Qualified(), t.IDName()
	if err := postgres.Run(ctx, conn, "BEGIN; SET LOCAL lock_timeout = '"+reservePatience+"'; "+
		"LOCK TABLE "+table+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	top, err := postgres.Number(ctx, conn, "SELECT coalesce(max("+id+"), 0) FROM "+table)
	if err != nil {
		return err
	}
	shift := max(above, top)
	if shift > load.Largest(c.Type.Kind)/4 {
		return fmt.Errorf("keep rows of %s under new ids: the highest is %d", t.Name, top)
	}
	others := ""
	if was != nil {
		others = " AND xmin <> " + was.Xid.SQL() // those that an earlier warm load left are replaced
	}
	last := strconv.FormatInt(shift, 10)
	return postgres.Run(ctx, conn, "UPDATE "+table+" SET "+id+" = "+id+" + "+last+" WHERE "+id+" <= "+strconv.FormatInt(above, 10)+others+
		"; SELECT setval("+postgres.Literal(c.Sequence)+"::regclass, greatest("+last+", "+
		"(SELECT max("+id+") FROM "+table+"), (SELECT last_value FROM "+c.Sequence+"))); COMMIT")
}

// countGuests tells of the rows that index runs have written beside ours.
func (t *transfer) countGuests(ctx context.Context, conn *pgconn.PgConn) error {
	if t.guests == nil {
		return nil
	}
	var err error
	t.guests.beside, err = postgres.Number(ctx, conn, "SELECT count(*) FROM "+t.To.Qualified()+" WHERE NOT ("+
		strings.TrimPrefix(t.ours(), " WHERE ")+")")
	if err == nil && t.guests.beside > 0 {
		progress.Line(ctx, "  Keeping %s... %s rows that index runs wrote since cluster-join.sh, under new ids",
			t.Name, human.Number(t.guests.beside))
	}
	return err
}
