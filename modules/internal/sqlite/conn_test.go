package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestOpenLeavesNoFile: a read-only open of SQLite itself makes a -wal beside a
// database in WAL mode that a server has closed.
func TestOpenLeavesNoFile(t *testing.T) {
	for name, script := range map[string]string{
		"WAL mode, closed":      "pragma journal_mode=wal; create table t(a); insert into t values(1);",
		"WAL mode, rows in log": "pragma journal_mode=wal; create table t(a); insert into t values(1);\n.shell kill -9 $PPID",
		"rollback journal":      "create table t(a); insert into t values(1);",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			cmd := exec.Command("sqlite3", path)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := stdin.Write([]byte(script + "\n")); err != nil {
				t.Fatal(err)
			}
			stdin.Close()
			_ = cmd.Wait() // one script kills it
			before := listing(t, filepath.Dir(path))
			c, err := OpenCopy(path, path)
			if err != nil {
				t.Fatal(err)
			}
			during := listing(t, filepath.Dir(path))
			c.Close()
			if after := listing(t, filepath.Dir(path)); !slices.Equal(before, during) || !slices.Equal(before, after) {
				t.Errorf("files before %s, during %s, after %s", before, during, after)
			}
		})
	}
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
