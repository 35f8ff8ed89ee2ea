package warm

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
)

// Xid is the id of a transaction of PostgreSQL, counted past its wraparound.
type Xid int64

// Current is the id of the transaction that conn is in; it gets one if it has none.
func Current(ctx context.Context, conn *pgconn.PgConn) (Xid, error) {
	n, err := postgres.Number(ctx, conn, "SELECT txid_current()")
	if err != nil {
		return 0, fmt.Errorf("read transaction id: %w", err)
	}
	return Xid(n), nil
}

// SQL spells the id as rows carry it.
func (x Xid) SQL() string { return fmt.Sprintf("'%d'::xid", uint32(x)) }

// Database names the database that conn is in. The name changes where the rows
// cannot carry the ids of the transactions that they were written by: on another
// server, and in a database that was made anew from a dump.
func Database(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	rows, err := postgres.Rows(ctx, conn, "SELECT oid, has_function_privilege('pg_control_system()', 'EXECUTE') "+
		"FROM pg_database WHERE datname = current_database()")
	if err != nil {
		return "", fmt.Errorf("read which database it is: %w", err)
	}
	name := string(rows[0][0])
	if string(rows[0][1]) != "t" {
		return name, nil // some services do not tell; the ids of tables must do
	}
	if rows, err = postgres.Rows(ctx, conn, "SELECT system_identifier FROM pg_control_system()"); err != nil {
		return "", fmt.Errorf("read which server it is: %w", err)
	}
	return string(rows[0][0]) + "/" + name, nil
}

// Known reports whether a row that carries the id of x can be no other
// transaction's, seen from now: the 32 bits of a row have not come round.
func (x Xid) Known(now Xid) bool { return x > 0 && now > x && now-x < 1<<31 }

// target is a table of PostgreSQL that is brought up to date, spelled for SQL.
type target struct {
	Table   string   // with its schema
	staged  string   // name of the temporary table
	Columns []string // that are loaded
	Key     []string // those of them that identify a row
	Where   string   // condition on rows t that are meant; "" for all
}

// old marks the rows of the temporary table that are to go.
const old = "cidx_old"

// counts are how many rows of a table carry which transaction's id. No row carries
// the id 0.
type counts struct{ Earlier, Ours, Others int64 }

// count looks at every row of the table. A row that was written since carries
// the id of who wrote it, also where the same values were written; one that was
// deleted is missing.
func (t target) count(ctx context.Context, conn *pgconn.PgConn, earlier, ours Xid) (c counts, err error) {
	rows, err := postgres.Rows(ctx, conn, "SELECT count(*) FILTER (WHERE t.xmin = "+earlier.SQL()+"), "+
		"count(*) FILTER (WHERE t.xmin = "+ours.SQL()+"), count(*) FROM "+t.Table+" t"+t.where(" WHERE "))
	if err != nil {
		return c, fmt.Errorf("count rows of %s by transaction: %w", t.Table, err)
	}
	if _, err := fmt.Sscan(string(rows[0][0])+" "+string(rows[0][1])+" "+string(rows[0][2]), &c.Earlier, &c.Ours, &c.Others); err != nil {
		return c, err
	}
	c.Others -= c.Earlier + c.Ours
	return c, nil
}

func (t target) where(word string) string {
	if t.Where == "" {
		return ""
	}
	return word + "(" + t.Where + ")"
}

// stage makes the temporary table, which ends with the transaction, and fills it
// with tuples of a binary COPY: the table's columns, and whether the row is the
// one to go (true) or the one to come.
func (t target) stage(ctx context.Context, conn *pgconn.PgConn, tuples io.Reader) error {
	columns := strings.Join(t.Columns, ", ")
	err := postgres.Run(ctx, conn, "CREATE TEMPORARY TABLE "+t.staged+" ON COMMIT DROP AS SELECT "+columns+", false AS "+old+" "+
		"FROM "+t.Table+" WITH NO DATA")
	if err != nil {
		return fmt.Errorf("make temporary table: %w", err)
	}
	if _, err := conn.CopyFrom(ctx, tuples, "COPY pg_temp."+t.staged+" ("+columns+", "+old+") FROM STDIN (FORMAT binary)"); err != nil {
		return fmt.Errorf("copy changes of %s: %w", t.Table, err)
	}
	return postgres.Run(ctx, conn, "ANALYZE pg_temp."+t.staged)
}

// leaving selects the rows that are to go, as PostgreSQL has them, if
// transaction earlier wrote them.
func (t target) leaving(earlier Xid) string { return t.joined("s."+old, earlier) }

// arrived selects the rows that have come, as PostgreSQL has them, if
// transaction ours wrote them.
func (t target) arrived(ours Xid) string { return t.joined("NOT s."+old, ours) }

func (t target) joined(kind string, by Xid) string {
	return "SELECT t." + strings.Join(t.Columns, ", t.") + " FROM " + t.Table + " t " +
		"JOIN pg_temp." + t.staged + " s ON " + t.same("t", "s") +
		" WHERE " + kind + " AND t.xmin = " + by.SQL() + t.where(" AND ")
}

// same is the condition that rows a and b have the same key.
func (t target) same(a, b string) string {
	parts := make([]string, len(t.Key))
	for i, k := range t.Key {
		parts[i] = a + "." + k + " = " + b + "." + k
	}
	return strings.Join(parts, " AND ")
}

// delete deletes the rows whose key does not come again.
func (t target) delete(ctx context.Context, conn *pgconn.PgConn) (deleted int64, err error) {
	return affected(ctx, conn, "DELETE FROM "+t.Table+" t USING pg_temp."+t.staged+" s "+
		"WHERE s."+old+" AND "+t.same("t", "s")+t.where(" AND ")+
		" AND NOT EXISTS (SELECT FROM pg_temp."+t.staged+" n WHERE NOT n."+old+" AND "+t.same("n", "s")+")")
}

// put updates the rows whose key was there and inserts the others. A key that
// somebody else has taken is an error of PostgreSQL's.
func (t target) put(ctx context.Context, conn *pgconn.PgConn) (updated, inserted int64, err error) {
	updated, err = affected(ctx, conn, "UPDATE "+t.Table+" t SET "+t.assignments()+" FROM pg_temp."+t.staged+" s "+
		"WHERE NOT s."+old+" AND "+t.same("t", "s")+t.where(" AND "))
	if err != nil {
		return 0, 0, err
	}
	columns := strings.Join(t.Columns, ", ")
	inserted, err = affected(ctx, conn, "INSERT INTO "+t.Table+" ("+columns+") OVERRIDING SYSTEM VALUE "+
		"SELECT "+columns+" FROM pg_temp."+t.staged+" s WHERE NOT s."+old+
		" AND NOT EXISTS (SELECT FROM pg_temp."+t.staged+" o WHERE o."+old+" AND "+t.same("o", "s")+")")
	return updated, inserted, err
}

// assignments set every column that is not of the key; the key itself where
// there is no other.
func (t target) assignments() string {
	var list []string
	for _, c := range t.Columns {
		if !slices.Contains(t.Key, c) || len(t.Key) == len(t.Columns) {
			list = append(list, c+" = s."+c)
		}
	}
	return strings.Join(list, ", ")
}

func affected(ctx context.Context, conn *pgconn.PgConn, sql string) (int64, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return 0, err
	}
	return results[len(results)-1].CommandTag.RowsAffected(), nil
}
