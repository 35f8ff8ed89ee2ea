package database

import (
	"context"
	"fmt"
	"strconv"
	"strings"

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
// transaction of its own: writers wait for milliseconds, not for the load. why
// says why it could not be done.
func (w *warming) reserve(ctx context.Context, t *table) (why string, above int64, err error) {
	if !t.numbered() || w.marker != nil {
		return "index runs write to it", 0, nil
	}
	highest, err := t.highest(t.columns[t.key[0]].Name)
	if err != nil {
		return "", 0, err
	}
	above = 2*max(highest, 0) + room
	if w.was != nil {
		above = max(above, w.was.Tables[t.Name].Above)
	}
	if above > largest(t.columns[t.key[0]].Type.Kind)/8 {
		return "its ids are almost used up", 0, nil
	}
	for range 5 {
		err = w.moveAbove(ctx, t, above)
		if err == nil {
			return "", above, nil
		}
		if rollback := postgres.Run(ctx, w.conn, "ROLLBACK"); rollback != nil {
			return "", 0, err
		}
		if postgres.Code(err) != "55P03" {
			break
		}
	}
	if postgres.Lost(err) || postgres.Code(err) == "" {
		return "", 0, err
	}
	return "the ids of rows that index runs wrote cannot be changed now: " + w.explain(err).Error(), 0, nil
}

func (w *warming) moveAbove(ctx context.Context, t *table, above int64) error {
	c := &t.columns[t.key[0]]
	table, id := t.to.Qualified(), t.idName()
	if err := postgres.Run(ctx, w.conn, "BEGIN; SET LOCAL lock_timeout = '"+reservePatience+"'; "+
		"LOCK TABLE "+table+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	rows, err := postgres.Rows(ctx, w.conn, "SELECT coalesce(max("+id+"), 0) FROM "+table)
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
	if w.was != nil {
		others = " AND xmin <> " + w.was.Xid.SQL() // those that an earlier warm load left are replaced
	}
	last := strconv.FormatInt(shift, 10)
	return postgres.Run(ctx, w.conn, "UPDATE "+table+" SET "+id+" = "+id+" + "+last+" WHERE "+id+" <= "+strconv.FormatInt(above, 10)+others+
		"; SELECT setval("+postgres.Literal(c.Sequence)+"::regclass, greatest("+last+", "+
		"(SELECT max("+id+") FROM "+table+"), (SELECT last_value FROM "+c.Sequence+"))); COMMIT")
}

// countGuests tells of the rows that index runs have written beside ours.
func (c *catchUp) countGuests(ctx context.Context, t *table) error {
	if t.guests == nil {
		return nil
	}
	rows, err := postgres.Rows(ctx, c.conn, "SELECT count(*) FROM "+t.to.Qualified()+" WHERE NOT ("+
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
