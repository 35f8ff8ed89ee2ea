package database

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"cidx-cluster/modules/internal/child"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// childVariable makes the test binary behave as the helper does: one call of
// the module, arguments on standard input. Tests kill such children.
const childVariable = "CIDX_DATABASE_TEST_CHILD"

func TestMain(m *testing.M) {
	child.Serve()
	if os.Getenv(childVariable) != "" {
		input, _ := io.ReadAll(os.Stdin)
		fmt.Println(string(Module().Run(context.Background(), input, nil)))
		os.Exit(0)
	}
	os.Exit(pgtest.Run(m))
}

// fixture is a small home beside a database.
type fixture struct {
	root, home, share, dsn string
	bare                   []string // databases that stay without the tables they must have
}

var shared string // DSN of the database that the tests use one after the other

// database empties the shared database. Making a new one takes longer than most
// tests.
func database(t testing.TB) string {
	t.Helper()
	if shared == "" {
		shared = pgtest.Database(t)
	}
	pgtest.Exec(t, shared, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
		"ALTER ROLE admin RESET timezone", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
	return shared
}

// newFixture makes a home of the real layout with empty databases.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	root := t.TempDir()
	f := &fixture{root: root, home: filepath.Join(root, "home"), share: filepath.Join(root, "share"), dsn: database(t)}
	f.write(t, "data/golden-repos/aliases/demo-global.json", `{"target_path": "/x"}`)
	config, _ := json.Marshal(map[string]any{"storage_mode": "postgres", "postgres_dsn": f.dsn, "ontap": map[string]any{"mount_point": f.share}})
	f.write(t, "config.json", string(config))
	for _, file := range []string{"data/cidx_server.db", "groups.db", "oauth.db"} {
		f.sqlite(t, file, "SELECT 1")
	}
	return f
}

func (f *fixture) path(rel string) string { return filepath.Join(f.home, rel) }

func (f *fixture) write(t testing.TB, rel, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(rel)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path(rel), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sqlite runs statements in a database of the home. $HOME in them is the home.
func (f *fixture) sqlite(t testing.TB, file, statements string) {
	t.Helper()
	f.openSQLite(t, file, statements).Close()
}

func (f *fixture) openSQLite(t testing.TB, file, statements string) *sql.DB {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(file)), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", f.path(file))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(strings.ReplaceAll(statements, "$HOME", f.home)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return db
}

// complete adds the tables that every database of CIDX has, empty, with the
// columns of PostgreSQL's table where there is one.
func (f *fixture) complete(t testing.TB) {
	t.Helper()
	columns := map[string]string{}
	for line := range strings.SplitSeq(f.query(t, "SELECT table_name, string_agg(quote_ident(column_name), ',') FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"), "\n") {
		name, list, _ := strings.Cut(line, "|")
		columns[name] = list
	}
	statements := map[string]string{}
	for _, table := range cidx.Catalogue {
		if table.Core && !slices.Contains(f.bare, table.File) {
			statements[table.File] += "CREATE TABLE IF NOT EXISTS " + table.Name + " (" + cmp.Or(columns[table.Name], "x") + ");"
		}
	}
	for file, text := range statements {
		if _, err := os.Stat(f.path(file)); err == nil {
			f.sqlite(t, file, text)
		}
	}
}

// backup does what the backup step does: it copies the databases and their
// logs to the state folder.
func (f *fixture) backup(t testing.TB) {
	t.Helper()
	f.complete(t)
	for _, pattern := range []string{"*.db*", "data/*.db*"} {
		found, _ := filepath.Glob(filepath.Join(f.home, pattern))
		for _, path := range found {
			if strings.HasSuffix(path, "-shm") {
				continue
			}
			rel, _ := filepath.Rel(f.home, path)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f.write(t, filepath.Join(".cluster-migrate/snapshot", rel), string(raw))
		}
	}
}

// reply is what the module answered.
type reply struct {
	Changed  bool           `json:"changed"`
	Failed   bool           `json:"failed"`
	Skipped  bool           `json:"skipped"`
	Msg      string         `json:"msg"`
	Warnings []string       `json:"warnings"`
	Lines    []string       `json:"lines"`
	Problems []problemReply `json:"problems"`
	Secrets  map[string]any `json:"secrets"`
	Tables   []struct {
		Table, Status string
		Rows          int64
	} `json:"tables"`
	Jobs        int64    `json:"jobs_failed"`
	Paths       int64    `json:"paths_rewritten"`
	Quarantined int64    `json:"quarantined"`
	Rows        int64    `json:"rows"`
	ChangedRows int64    `json:"changed_rows"`
	AddedRows   int64    `json:"added_rows"`
	LostRows    int64    `json:"lost_rows"`
	Reports     []string `json:"reports"`
	raw         string
}

type problemReply struct{ What, At, Fix string }

// run calls the module as Ansible would.
func (f *fixture) run(t testing.TB, extra map[string]any) reply {
	t.Helper()
	return f.runContext(t, context.Background(), extra, nil)
}

func (f *fixture) runContext(t testing.TB, ctx context.Context, extra map[string]any, sink progress.Sink) reply {
	t.Helper()
	arguments := map[string]any{"home": f.home}
	maps.Copy(arguments, extra)
	input, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	raw := Module().Run(ctx, input, sink)
	r := reply{raw: string(raw)}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatalf("reply %s: %v", raw, err)
	}
	if strings.Contains(r.raw, pgtest.Password) {
		t.Error("the reply shows the database's password")
	}
	return r
}

func check(extra map[string]any) map[string]any {
	out := map[string]any{"_ansible_check_mode": true}
	maps.Copy(out, extra)
	return out
}

// text is everything an operator reads.
func (r reply) text() string {
	lines := append([]string{r.Msg}, r.Warnings...)
	for _, p := range r.Problems {
		lines = append(lines, p.At+": "+p.What+" (fix: "+p.Fix+")")
	}
	return strings.Join(append(lines, r.Lines...), "\n")
}

// query returns the rows of a statement, fields joined by |.
func (f *fixture) query(t testing.TB, sql string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := postgres.Connect(ctx, f.dsn, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := postgres.Rows(ctx, conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var lines []string
	for _, row := range rows {
		fields := make([]string, len(row))
		for i, field := range row {
			fields[i] = string(field)
			if field == nil {
				fields[i] = "∅"
			}
		}
		lines = append(lines, strings.Join(fields, "|"))
	}
	return strings.Join(lines, "\n")
}

// target is everything in PostgreSQL: definitions, rows, sequences. It asks for
// nothing that a build of PostgreSQL may lack (XML), as the tests' own role,
// whichever f uses.
func (f *fixture) target(t testing.TB) string {
	t.Helper()
	admin := *f
	admin.dsn = shared
	contents := admin.query(t, `SELECT coalesce(string_agg(format(CASE relkind
			WHEN 'r' THEN 'SELECT %L, count(*), md5(coalesce(string_agg(t::text, ''|'' ORDER BY t::text), '''')) FROM %I t'
			ELSE 'SELECT %L, last_value, is_called::text FROM %I' END, relname, relname), ' UNION ALL ' ORDER BY relname), 'SELECT 1 WHERE false')
		FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')`)
	return admin.query(t, `SELECT c.relname, c.relkind,
		CASE WHEN relkind = 'i' THEN pg_get_indexdef(c.oid) END, (SELECT string_agg(conname || pg_get_constraintdef(oid), ';' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid)
		FROM pg_class c WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2`) + "\n" + admin.query(t, contents)
}

// source is the hash of every file of the home outside our state folder.
func (f *fixture) source(t testing.TB) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(f.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".cluster-migrate" {
				return fs.SkipDir
			}
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, _ := d.Info()
		lines = append(lines, fmt.Sprintf("%s %x %v %v", path, sha256.Sum256(raw), info.Mode(), info.ModTime()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// snapshot is the hash of the private copies.
func (f *fixture) snapshot(t testing.TB) string {
	t.Helper()
	inner := &fixture{home: f.path(".cluster-migrate/snapshot")}
	return inner.source(t)
}
