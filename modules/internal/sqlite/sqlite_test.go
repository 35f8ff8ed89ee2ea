package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"cidx-cluster/modules/internal/problem"
)

// live opens a database as a server does and leaves it open.
func live(t *testing.T, path string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return db
}

// list is every file of a folder with its hash.
func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %x", e.Name(), sha256.Sum256(raw)))
	}
	return strings.Join(lines, "\n")
}

func number(t *testing.T, c *Conn, sql string) int64 {
	t.Helper()
	rows, err := c.Query(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatalf("%s: no row, %v", sql, rows.Err())
	}
	return rows.Int(0)
}

// TestOpenSeesTheLogAndWritesNothing: the rows of a write-ahead log that was
// never checkpointed are there, and no byte beside the file changes, also in a
// folder that nobody may write to.
func TestOpenSeesTheLogAndWritesNothing(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	live(t, filepath.Join(from, "a.db"), "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (2)", "UPDATE t SET x = 3 WHERE x = 2")
	source := list(t, from)
	if err := Copy(context.Background(), filepath.Join(from, "a.db"), filepath.Join(to, "a.db")); err != nil {
		t.Fatal(err)
	}
	if list(t, from) != source {
		t.Error("copying has changed the source")
	}
	before := list(t, to)
	if !strings.Contains(before, "a.db-wal") || strings.Contains(before, "shm") {
		t.Fatalf("copied are\n%s", before)
	}
	if err := os.Chmod(to, 0o500); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCopy(filepath.Join(to, "a.db"), filepath.Join(to, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	if got := number(t, c, "SELECT sum(x) FROM t"); got != 4 {
		t.Errorf("sum is %d", got)
	}
	if err := c.Exec("INSERT INTO t VALUES (9)"); err == nil {
		t.Error("the copy can be written")
	}
	if during := list(t, to); during != before {
		t.Errorf("while it is open there are\n%s", during)
	}
	c.Close()
	if after := list(t, to); after != before {
		t.Errorf("afterwards there are\n%s\nbefore\n%s", after, before)
	}
}

// TestCopyWhileTheServerWrites: every copy is a state that existed. The writer
// moves amounts between rows; their sum never changes.
func TestCopyWhileTheServerWrites(t *testing.T) {
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			from, to := filepath.Join(t.TempDir(), "a.db"), filepath.Join(t.TempDir(), "a.db")
			db := live(t, from, "PRAGMA journal_mode="+mode, "PRAGMA synchronous=OFF", "PRAGMA wal_autocheckpoint=20", "CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER, filler TEXT)",
				"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i, 100, hex(randomblob(200)) FROM n")
			stop := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				for i := 1; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond): // a server also rests
					}
					_, err := db.Exec("UPDATE t SET x = x + CASE id WHEN ? THEN 7 ELSE -7 END WHERE id IN (?, ?)", i%499+1, i%499+1, 500)
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
			defer writer.Wait()
			defer close(stop)
			for range 6 {
				if err := Copy(context.Background(), from, to); err != nil {
					var p problem.Problem
					if errors.As(err, &p) && strings.Contains(p.What, "changes faster") {
						continue // honest, and rare
					}
					t.Fatal(err)
				}
				c, err := OpenCopy(to, to)
				if err != nil {
					t.Fatal(err)
				}
				if got := number(t, c, "SELECT sum(x) FROM t"); got != 50000 {
					t.Errorf("sum is %d", got)
				}
				if faults, err := c.QuickCheck(3); err != nil || len(faults) > 0 {
					t.Errorf("copy is damaged: %v %v", faults, err)
				}
				c.Close()
			}
		})
	}
}

func TestFaultsAreProblems(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := filepath.Join(dir, "whole.db")
	live(t, whole, "CREATE TABLE t (x)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT hex(randomblob(20)) FROM n").Close()
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"a file that is missing": {filepath.Join(dir, "none.db"), "database file is missing"},
		"a text file":            {file("text.db", "hello"), "not a SQLite database"},
		"a folder":               {dir, "not a regular file"},
		"only the magic":         {file("magic.db", magic), ""},
		"cut off":                {file("cut.db", string(raw[:len(raw)/2])), "malformed"},
		"garbage inside":         {file("garbage.db", string(raw[:4096])+strings.Repeat("\xa5", len(raw)-4096)), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := OpenCopy(c.path, c.path)
			if err == nil {
				defer conn.Close()
				err = conn.Exec("SELECT count(*), max(x) FROM t")
			}
			if c.want == "" {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			var p problem.Problem
			if !errors.As(err, &p) || !strings.Contains(p.What, c.want) || p.Fix == "" || p.At == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestValuesKeepTheirClass(t *testing.T) {
	c, err := Memory()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	values := []Value{NullValue(), IntegerValue(-1 << 63), RealValue(0.1), TextValue("größe\x00x"), TextValue(""), BlobValue([]byte{0, 255}), BlobValue(nil)}
	rows, err := c.Query("SELECT ?, ?, ?, ?, ?, ?, ?", values...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() || rows.Width() != len(values) {
		t.Fatalf("no row: %v", rows.Err())
	}
	got := make([]Value, len(values))
	rows.Read(got)
	for i, want := range values {
		if got[i].Class != want.Class || got[i].String() != want.String() {
			t.Errorf("value %d is %v %q, want %v %q", i, got[i].Class, got[i], want.Class, want)
		}
	}
}

func TestTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	live(t, path, `CREATE TABLE plain (a TEXT, "b c" INTEGER NOT NULL, PRIMARY KEY ("b c", a))`,
		"CREATE TABLE shadowed (rowid TEXT, _rowid_ TEXT, x INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE TABLE flat (k TEXT PRIMARY KEY) WITHOUT ROWID",
		"CREATE TABLE child (p INTEGER REFERENCES shadowed(x), q TEXT, FOREIGN KEY (q) REFERENCES flat)", "CREATE VIEW v AS SELECT 1", "CREATE TABLE computed (a, b AS (a + 1))",
		"INSERT INTO shadowed VALUES ('r', 's', 41)", "DELETE FROM shadowed", "CREATE UNIQUE INDEX u ON child (q)", "CREATE UNIQUE INDEX partly ON child (p) WHERE p > 0", "CREATE UNIQUE INDEX folded ON plain (a COLLATE NOCASE)").Close()
	c, err := OpenCopy(path, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tables, err := c.Tables()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range tables {
		got = append(got, fmt.Sprintf("%s key=%v rowid=%s columns=%d", x.Name, x.Key, x.RowID, len(x.Columns)))
	}
	want := []string{
		"child key=[] rowid=rowid columns=2",
		"computed key=[] rowid=rowid columns=2",
		"flat key=[k] rowid= columns=1",
		"plain key=[b c a] rowid=rowid columns=2",
		"shadowed key=[x] rowid=oid columns=3",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n, err := c.Sequence("shadowed"); err != nil || n != 41 {
		t.Errorf("Sequence = %d, %v", n, err)
	}
	if n, err := c.Sequence("plain"); err != nil || n != 0 {
		t.Errorf("Sequence of a table without one = %d, %v", n, err)
	}
}

func TestFingerprintFollowsEveryWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	print := func() string {
		h := sha256.New()
		if err := Fingerprint(h, path); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	seen := map[string]string{}
	db := live(t, path, "PRAGMA journal_mode=DELETE", "CREATE TABLE t (x)")
	for _, statement := range []string{"INSERT INTO t VALUES (1)", "UPDATE t SET x = 2", "UPDATE t SET x = 3", "PRAGMA journal_mode=WAL", "UPDATE t SET x = 4", "UPDATE t SET x = 5", "PRAGMA wal_checkpoint(TRUNCATE)", "UPDATE t SET x = 6"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		p := print()
		if other, ok := seen[p]; ok {
			t.Errorf("%q and %q leave one fingerprint", other, statement)
		}
		if p != print() {
			t.Errorf("after %q two fingerprints differ", statement)
		}
		seen[p] = statement
	}
}
