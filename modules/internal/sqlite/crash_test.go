package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// crash copies the files of an open database, as a killed writer leaves them.
func crash(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), filepath.Base(from))
	for _, suffix := range []string{"", "-wal", "-journal"} {
		raw, err := os.ReadFile(from + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// halfWritten is a database of 2000 rows, in the middle of a transaction that
// has changed them all and reached the file.
func halfWritten(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a.db")
	db := live(t, path, "PRAGMA journal_mode=DELETE", "PRAGMA cache_size=1", "CREATE TABLE t (x, filler TEXT)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT 1, hex(randomblob(200)) FROM n")
	for _, statement := range []string{"BEGIN", "UPDATE t SET x = 2, filler = upper(filler)"} { // spills dirty pages to the file
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestRecoverRollsBack: a writer that died leaves half a transaction in the
// file and the way back in the journal.
func TestRecoverRollsBack(t *testing.T) {
	crashed := crash(t, halfWritten(t))
	if hot, err := HasHotJournal(crashed); err != nil || !hot {
		t.Fatalf("HasHotJournal = %v, %v", hot, err)
	}
	before := list(t, filepath.Dir(crashed))
	mended := filepath.Join(t.TempDir(), "sub", "a.db")
	if err := Recover(context.Background(), crashed, mended, crashed); err != nil {
		t.Fatal(err)
	}
	if list(t, filepath.Dir(crashed)) != before {
		t.Error("recovering has changed the crashed files")
	}
	wantSum(t, mended, 2000)
}

func wantSum(t *testing.T, path string, want int64) {
	t.Helper()
	c, err := OpenCopy(path, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := number(t, c, "SELECT sum(x) FROM t"); got != want {
		t.Errorf("sum is %d, want %d", got, want)
	}
	if faults, err := c.QuickCheck(3); err != nil || len(faults) > 0 {
		t.Errorf("the copy is damaged: %v %v", faults, err)
	}
}

// TestCopyOfWhatAKilledServerLeaves: the copy holds what was committed, can be
// opened, and the source is as it was.
func TestCopyOfWhatAKilledServerLeaves(t *testing.T) {
	logged := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "a.db")
		live(t, path, "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", "CREATE TABLE t (x, filler TEXT)", "INSERT INTO t VALUES (1, hex(randomblob(9000))), (2, '')", "UPDATE t SET x = 3 WHERE x = 2")
		return crash(t, path)
	}
	cut := func(t *testing.T, path string, n int64) string {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()+n); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(path, "-wal"), "-journal")
	}
	for name, c := range map[string]struct {
		make func(*testing.T) string
		want int64
	}{
		"a hot journal":                 {func(t *testing.T) string { return crash(t, halfWritten(t)) }, 2000},
		"a transaction that goes on":    {halfWritten, 2000},
		"a journal that is all zeros":   {func(t *testing.T) string { p := logged(t); return zeroed(t, p) }, 4},
		"a log without its index":       {logged, 4},
		"a log with a torn end":         {func(t *testing.T) string { return cut(t, logged(t)+"-wal", -100) }, 3},
		"a log with garbage at the end": {func(t *testing.T) string { return cut(t, logged(t)+"-wal", 5000) }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := c.make(t), filepath.Join(t.TempDir(), "sub", "a.db")
			before := list(t, filepath.Dir(from))
			if err := Copy(context.Background(), from, to); err != nil {
				t.Fatal(err)
			}
			if after := list(t, filepath.Dir(from)); after != before {
				t.Errorf("the source is\n%s\nwas\n%s", after, before)
			}
			wantSum(t, to, c.want)
		})
	}
}

func zeroed(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path+"-journal", make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
