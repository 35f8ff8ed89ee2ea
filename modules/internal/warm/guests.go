package warm

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// Index runs of the joined server go on writing to PostgreSQL while it is loaded
// (load.Table.Grows). They get their ids from the sequence, and must neither wait
// for ours nor meet them.

// reservePatience is how long a row of an index run may wait for us.
const reservePatience = "500ms"

// room is how many ids are left free for rows that SQLite gets until the stop.
const room = 1_000_000

// reserve keeps the ids up to above free for the rows of SQLite: rows that are
// there get higher ones, and the sequence goes on after them. It has a short
// transaction of its own: writers wait for milliseconds, not for the load. was is
// what an earlier warm load has left; why says why it could not be done.
func reserve(ctx context.Context, s *load.Session, was *Record, t *load.Table) (why string, above int64, err error) {
	highest, err := t.Highest(t.Columns[t.Key[0]].Name)
	if err != nil {
		return "", 0, err
	}
	above = 2*max(highest, 0) + room
	if was != nil {
		above = max(above, was.Tables[t.Name].Above)
	}
	if above > t.Columns[t.Key[0]].Type.Kind.Largest()/8 {
		return "its ids are almost used up", 0, nil
	}
	for range 5 {
		if err = moveAbove(ctx, s.Conn, was, t, above); err == nil {
			return "", above, nil
		}
		if rollback := postgres.Run(ctx, s.Conn, "ROLLBACK"); rollback != nil {
			return "", 0, err
		}
		if postgres.Code(err) != "55P03" {
			break
		}
	}
	if postgres.Lost(err) || postgres.Code(err) == "" {
		return "", 0, err
	}
	return "the ids of rows that index runs wrote cannot be changed now: " + s.Explain(err).Error(), 0, nil
}

func moveAbove(ctx context.Context, conn *pgconn.PgConn, was *Record, t *load.Table, above int64) error {
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
	if shift > c.Type.Kind.Largest()/4 {
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
func countGuests(ctx context.Context, conn *pgconn.PgConn, t *load.Transfer) error {
	if t.Guests == nil {
		return nil
	}
	var err error
	t.Guests.Beside, err = postgres.Number(ctx, conn, "SELECT count(*) FROM "+t.To.Qualified()+" WHERE NOT ("+
		strings.TrimPrefix(t.Ours(), " WHERE ")+")")
	if err == nil && t.Guests.Beside > 0 {
		progress.Line(ctx, "  Keeping %s... %s rows that index runs wrote since cluster-join.sh, under new ids",
			t.Name, human.Number(t.Guests.Beside))
	}
	return err
}
