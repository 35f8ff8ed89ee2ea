package warm

import (
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// loaded makes a table of three rows in one transaction, whose id it returns.
func loaded(t *testing.T, copy string) (dsn string, earlier Xid) {
	t.Helper()
	dsn = pgtest.Database(t)
	conn := session(t, dsn)
	run(t, conn, "CREATE TABLE p (k int PRIMARY KEY, v text)")
	run(t, conn, "BEGIN; TRUNCATE p")
	earlier, err := Current(context.Background(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.CopyFrom(context.Background(), strings.NewReader("1,a\n2,b\n3,c\n"), copy); err != nil {
		t.Fatal(err)
	}
	run(t, conn, "COMMIT")
	return dsn, earlier
}

func session(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), dsn, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgconn.PgConn, sql string) {
	t.Helper()
	if err := postgres.Run(context.Background(), conn, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestCountTellsWhoHasWritten: whatever somebody does to a row shows, and what is
// no writing does not, also where the rows were frozen by the copy or since.
func TestCountTellsWhoHasWritten(t *testing.T) {
	for name, c := range map[string]struct {
		copy, do string
		want     counts
	}{
		"nothing":                        {"COPY p FROM STDIN (FORMAT csv)", "SELECT 1", counts{Earlier: 3}},
		"nothing, frozen":                {"COPY p FROM STDIN (FORMAT csv, FREEZE true)", "SELECT 1", counts{Earlier: 3}},
		"vacuumed":                       {"COPY p FROM STDIN (FORMAT csv)", "VACUUM (FREEZE) p", counts{Earlier: 3}},
		"written anew by VACUUM FULL":    {"COPY p FROM STDIN (FORMAT csv)", "VACUUM FULL p", counts{Earlier: 3}},
		"locked":                         {"COPY p FROM STDIN (FORMAT csv)", "SELECT * FROM p FOR UPDATE", counts{Earlier: 3}},
		"an update that was rolled back": {"COPY p FROM STDIN (FORMAT csv)", "BEGIN; UPDATE p SET v = 'x'; ROLLBACK", counts{Earlier: 3}},
		"an update to the same value":    {"COPY p FROM STDIN (FORMAT csv, FREEZE true)", "UPDATE p SET v = v WHERE k = 1", counts{Earlier: 2, Others: 1}},
		"a deletion":                     {"COPY p FROM STDIN (FORMAT csv)", "DELETE FROM p WHERE k = 1", counts{Earlier: 2}},
		"an insertion":                   {"COPY p FROM STDIN (FORMAT csv)", "INSERT INTO p VALUES (4, 'd')", counts{Earlier: 3, Others: 1}},
		"another order of columns":       {"COPY p FROM STDIN (FORMAT csv)", "ALTER TABLE p ALTER v TYPE varchar(5)", counts{Others: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, earlier := loaded(t, c.copy)
			pgtest.Exec(t, dsn, c.do)
			conn := session(t, dsn)
			run(t, conn, "BEGIN")
			now, err := Current(context.Background(), conn)
			if err != nil || !earlier.Known(now) {
				t.Fatalf("Known(%d) of %d: %v", now, earlier, err)
			}
			got, err := target{Table: "p"}.count(context.Background(), conn, earlier, now)
			if err != nil || got != c.want {
				t.Errorf("Count = %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestKnownComesRoundOnce(t *testing.T) {
	for _, c := range []struct {
		x, now Xid
		want   bool
	}{{7, 8, true}, {7, 7, false}, {8, 7, false}, {0, 7, false}, {7, 7 + 1<<31, false}, {7, 6 + 1<<31, true}, {1<<32 + 5, 1<<32 + 6, true}, {5, 1<<32 + 6, false}} {
		if got := c.x.Known(c.now); got != c.want {
			t.Errorf("Xid(%d).Known(%d) = %v", c.x, c.now, got)
		}
	}
	if got := (Xid(1<<32 + 5)).SQL(); got != "'5'::xid" {
		t.Errorf("SQL = %s", got)
	}
}

// tuples is a binary COPY of rows k, v, old.
func tuples(rows ...[3]any) string {
	b := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, r := range rows {
		b = binary.BigEndian.AppendUint16(b, 3)
		b = binary.BigEndian.AppendUint32(b, 4)
		b = binary.BigEndian.AppendUint32(b, uint32(r[0].(int)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(r[1].(string))))
		b = append(b, r[1].(string)...)
		b = binary.BigEndian.AppendUint32(b, 1)
		if r[2].(bool) {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return string(append(b, 0xff, 0xff))
}

// TestStagedRowsAreApplied: a row that goes, one that changes, one that comes.
func TestStagedRowsAreApplied(t *testing.T) {
	ctx := context.Background()
	dsn, earlier := loaded(t, "COPY p FROM STDIN (FORMAT csv, FREEZE true)")
	conn := session(t, dsn)
	run(t, conn, "BEGIN")
	now, err := Current(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	p := target{Table: "p", staged: "staged", Columns: []string{"k", "v"}, Key: []string{"k"}}
	if err := p.stage(ctx, conn, strings.NewReader(tuples([3]any{1, "a", true}, [3]any{2, "b", true}, [3]any{2, "B", false}, [3]any{4, "D", false}))); err != nil {
		t.Fatal(err)
	}
	show := func(query string) string {
		t.Helper()
		rows, err := postgres.Rows(ctx, conn, "SELECT string_agg(k || v, ',' ORDER BY k) FROM ("+query+") q")
		if err != nil {
			t.Fatal(err)
		}
		return string(rows[0][0])
	}
	if got := show(p.leaving(earlier)); got != "1a,2b" {
		t.Errorf("leaving are %s", got)
	}
	deleted, err := p.delete(ctx, conn)
	if err != nil || deleted != 1 {
		t.Errorf("Delete = %d, %v", deleted, err)
	}
	updated, inserted, err := p.put(ctx, conn)
	if err != nil || updated != 1 || inserted != 1 {
		t.Errorf("Put = %d, %d, %v", updated, inserted, err)
	}
	if got := show(p.arrived(now)); got != "2B,4D" {
		t.Errorf("arrived are %s", got)
	}
	if got, err := p.count(ctx, conn, earlier, now); err != nil || got != (counts{Earlier: 1, Ours: 2}) {
		t.Errorf("Count = %+v, %v", got, err)
	}
	run(t, conn, "COMMIT")
	if got := show("SELECT * FROM p"); got != "2B,3c,4D" {
		t.Errorf("the table has %s", got)
	}
}
