package pages

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"cidx-cluster/modules/internal/sqlite"
)

// naive reads a table as a map from row id to a text that is different
// whenever a value or its class is.
func naive(t *testing.T, c *sqlite.Conn, table string) map[int64]string {
	t.Helper()
	rows, err := c.Query("SELECT rowid, * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[int64]string{}
	for rows.Next() {
		var text strings.Builder
		for i := 1; i < rows.Width(); i++ {
			v := rows.Value(i)
			fmt.Fprintf(&text, "%s %d %x %x|", v.Class, v.Int, v.Real, v.Bytes)
		}
		all[rows.Int(0)] = text.String()
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// copied opens a private copy of a database that is in use.
func copied(t *testing.T, path string) *sqlite.Conn {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := sqlite.Copy(context.Background(), path, to); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.OpenCopy(to, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, path string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	do(t, db, statements...)
	return db
}

func do(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// want holds what Rows says of a table against the naive comparison: no row
// that differs is missing, and none is named that lies on its page unchanged,
// but for wide ones.
func want(t *testing.T, before, after *sqlite.Conn, table string, exact bool) (named int) {
	t.Helper()
	p, err := Compare(context.Background(), before, after)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ids, ok, err := p.Rows(table)
	if err != nil || !ok {
		t.Fatalf("Rows(%s) = %v, %v", table, ok, err)
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("%s: ids are not in order, or not unique", table)
	}
	old, fresh := naive(t, before, table), naive(t, after, table)
	differ := map[int64]bool{}
	for id := range maps.Keys(old) {
		if text, ok := fresh[id]; !ok || text != old[id] {
			differ[id] = true
		}
	}
	for id := range fresh {
		if _, ok := old[id]; !ok {
			differ[id] = true
		}
	}
	for id := range differ {
		if _, found := slices.BinarySearch(ids, id); !found {
			t.Fatalf("%s: row %d differs and is not named: %.80s / %.80s", table, id, old[id], fresh[id])
		}
	}
	if exact && len(ids) != len(differ) {
		t.Errorf("%s: %d rows are named, %d differ", table, len(ids), len(differ))
	}
	return len(ids)
}

// TestRowsAfterRandomChanges mutates tables at random, also by VACUUM, by
// deleting and making rows anew, and within wide rows, and holds every answer
// against a comparison of all rows.
func TestRowsAfterRandomChanges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 8 {
		path := filepath.Join(t.TempDir(), "a.db")
		db := open(t, path, fmt.Sprintf("PRAGMA page_size=%d", 512<<r.IntN(4)), fmt.Sprintf("PRAGMA auto_vacuum=%d", r.IntN(2)),
			"PRAGMA journal_mode="+[]string{"WAL", "DELETE"}[round%2],
			"CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b REAL, c BLOB)", "CREATE TABLE named (name TEXT PRIMARY KEY, v)", "CREATE INDEX named_v ON named (v)",
			"CREATE TABLE bare (x, y)", "CREATE TABLE still (x)", "INSERT INTO still VALUES (1), ('1'), (1.0), (x'31'), (NULL)")
		for range 300 {
			do(t, db, change(r))
		}
		for range 4 {
			before := copied(t, path)
			do(t, db, "BEGIN")
			for range r.IntN(40) {
				do(t, db, change(r))
			}
			do(t, db, "COMMIT")
			if r.IntN(4) == 0 {
				do(t, db, "VACUUM")
			}
			after := copied(t, path)
			for _, table := range []string{"numbered", "named", "bare", "still"} {
				want(t, before, after, table, false)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// change is a random statement on one of the tables.
func change(r *rand.Rand) string {
	value := func() string {
		return []string{"NULL", fmt.Sprint(r.IntN(9)), fmt.Sprintf("%d.5", r.IntN(9)), "1.0", "1", "'1'", "x'31'", fmt.Sprintf("'%s'", strings.Repeat("ü", r.IntN(300))),
			fmt.Sprintf("randomblob(%d)", r.IntN(9000)), fmt.Sprintf("zeroblob(%d)||x'%02x'", r.IntN(6000), r.IntN(256))}[r.IntN(10)]
	}
	row := r.IntN(200)
	switch r.IntN(9) {
	case 0, 1:
		return fmt.Sprintf("INSERT INTO numbered (a, b, c) VALUES (%s, %d, %s)", value(), r.IntN(5), value())
	case 2:
		return fmt.Sprintf("INSERT OR REPLACE INTO named VALUES ('n%d', %s)", row, value())
	case 3:
		return fmt.Sprintf("INSERT INTO bare VALUES (%s, %s)", value(), value())
	case 4:
		return fmt.Sprintf("UPDATE numbered SET a = %s WHERE id = %d", value(), row)
	case 5:
		return fmt.Sprintf("UPDATE bare SET y = %s WHERE rowid %% 17 = %d", value(), r.IntN(17))
	case 6:
		return fmt.Sprintf("DELETE FROM numbered WHERE id BETWEEN %d AND %d", row, row+r.IntN(30))
	case 7:
		return fmt.Sprintf("UPDATE named SET v = %s WHERE name = 'n%d'", value(), row)
	}
	return fmt.Sprintf("DELETE FROM bare WHERE rowid %% 23 = %d", r.IntN(23))
}

const many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, 'row ' || i || hex(zeroblob(40)) FROM n"

// TestRowsFollowsTheChange: what is named is what has changed, whatever else
// has in the file.
func TestRowsFollowsTheChange(t *testing.T) {
	for name, c := range map[string]struct {
		statements []string
		named      int
	}{
		"nothing":                         {nil, 0},
		"another table":                   {[]string{"INSERT INTO other VALUES (hex(randomblob(9000)))"}, 0},
		"one row":                         {[]string{"UPDATE t SET b = 'x' WHERE a = 7777"}, 1},
		"rows at the end":                 {[]string{"INSERT INTO t SELECT a + 20000, b FROM t WHERE a <= 500"}, 500},
		"rows in between":                 {[]string{"DELETE FROM t WHERE a % 1000 = 3"}, 20},
		"a row deleted and made again":    {[]string{"DELETE FROM t WHERE a = 5", "INSERT INTO t VALUES (5, 'row 5' || hex(zeroblob(40)))"}, 0},
		"a value of another class":        {[]string{"UPDATE t SET b = CAST(b AS BLOB) WHERE a = 9"}, 1},
		"every page, by VACUUM":           {[]string{"DELETE FROM other", "DELETE FROM t WHERE a < 100", "VACUUM"}, 99},
		"a column, which changes no page": {[]string{"ALTER TABLE t ADD COLUMN c DEFAULT 5"}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			db := open(t, path, "PRAGMA journal_mode=WAL", "CREATE TABLE other (x)", "INSERT INTO other VALUES (1)", "CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "CREATE INDEX t_b ON t (b)", many)
			before := copied(t, path)
			do(t, db, c.statements...)
			after := copied(t, path)
			if c.named < 0 {
				p, err := Compare(context.Background(), before, after)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				if _, ok, err := p.Rows("t"); ok || err != nil {
					t.Errorf("Rows = %v, %v for a table that is defined in another way", ok, err)
				}
				return
			}
			if named := want(t, before, after, "t", true); named != c.named {
				t.Errorf("%d rows are named, want %d", named, c.named)
			}
		})
	}
}

// TestRowsOfWideRows: only the end of a row has changed, which lies on a page of
// its own.
func TestRowsOfWideRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES (1, hex(zeroblob(9000)) || 'a'), (2, hex(zeroblob(9000)) || 'b'), (3, 'narrow')")
	before := copied(t, path)
	do(t, db, "UPDATE t SET b = hex(zeroblob(9000)) || 'c' WHERE a = 2")
	want(t, before, copied(t, path), "t", false)
}

// TestOtherEncodingOfTexts: the same bytes are other texts.
func TestOtherEncodingOfTexts(t *testing.T) {
	var copies []*sqlite.Conn
	for _, encoding := range []string{"UTF-8", "UTF-16le"} {
		path := filepath.Join(t.TempDir(), "a.db")
		open(t, path, "PRAGMA encoding='"+encoding+"'", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
		copies = append(copies, copied(t, path))
	}
	p, err := Compare(context.Background(), copies[0], copies[1])
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if ids, ok, err := p.Rows("t"); ok || err != nil {
		t.Errorf("Rows = %v, %v, %v", ids, ok, err)
	}
}

// TestOnlyWhatMayHaveChangedIsRead: the pages of a table that are the same are read
// only where the rest of a row was written in its place.
func TestOnlyWhatMayHaveChangedIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		loose  bool
	}{
		"nothing":                     {"SELECT 1", false},
		"a row":                       {"UPDATE t SET b = 'x' WHERE a = 7777", false},
		"a long row that comes":       {"INSERT INTO other VALUES (hex(randomblob(9000)))", false},
		"a long row that goes":        {"DELETE FROM other WHERE rowid = 2", false},
		"an index":                    {"DROP INDEX t_b", false},
		"a rest written in its place": {"UPDATE other SET x = substr(x, 1, 17000) || hex(randomblob(500)) WHERE rowid = 2", true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			db := open(t, path, "PRAGMA journal_mode=WAL", "CREATE TABLE other (x)", "INSERT INTO other VALUES (1), (hex(zeroblob(9000)))", "CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "CREATE INDEX t_b ON t (b)", many)
			before := copied(t, path)
			do(t, db, c.change)
			p, err := Compare(context.Background(), before, copied(t, path))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if p.loose != c.loose {
				t.Errorf("loose = %v", p.loose)
			}
		})
	}
}

// TestTablesThatPagesDoNotTell are left to a comparison of all rows.
func TestTablesThatPagesDoNotTell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path, "CREATE TABLE k (a TEXT PRIMARY KEY, b) WITHOUT ROWID", "INSERT INTO k VALUES ('x', 1)", "CREATE TABLE gone (a)")
	before := copied(t, path)
	do(t, db, "DROP TABLE gone", "CREATE TABLE fresh (a)")
	p, err := Compare(context.Background(), before, copied(t, path))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, table := range []string{"k", "gone", "fresh", "never"} {
		if _, ok, err := p.Rows(table); ok || err != nil {
			t.Errorf("Rows(%s) = %v, %v", table, ok, err)
		}
	}
}
