package database

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

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
	highest, err := t.highest(t.columns[t.key[0]].Name)
	if err != nil {
		return "", 0, err
	}
	above = 2*max(highest, 0) + room
	if was != nil {
		above = max(above, was.Tables[t.Name].Above)
	}
	if above > largest(t.columns[t.key[0]].Type.Kind)/8 {
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
	c := &t.columns[t.key[0]]
	table, id := t.to.Qualified(), t.idName()
	if err := postgres.Run(ctx, conn, "BEGIN; SET LOCAL lock_timeout = '"+reservePatience+"'; "+
		"LOCK TABLE "+table+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	rows, err := postgres.Rows(ctx, conn, "SELECT coalesce(max("+id+"), 0) FROM "+table)
	if err != nil {
		return err
	}
	top, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if err != nil {
		return err
	}
	shift := max(above, top)
	if shift > largest(c.Type.Kind)/4 {
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
	rows, err := postgres.Rows(ctx, conn, "SELECT count(*) FROM "+t.to.Qualified()+" WHERE NOT ("+
		strings.TrimPrefix(t.ours(), " WHERE ")+")")
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(string(rows[0][0]), &t.guests.beside); err == nil && t.guests.beside > 0 {
		progress.Line(ctx, "  Keeping %s... %s rows that index runs wrote since cluster-join.sh, under new ids",
			t.Name, human.Number(t.guests.beside))
	}
	return nil
}
