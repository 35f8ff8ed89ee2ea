package database

import (
	"os"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/pgtest"
)

// through uses another server from now on.
func (f *fixture) through(t *testing.T, dsn string) {
	t.Helper()
	config, err := os.ReadFile(f.path("config.json"))
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "config.json", strings.Replace(string(config), f.dsn, dsn, 1))
}

// TestServersThatDoNotDo: real ones, each with what there is to do about it.
func TestServersThatDoNotDo(t *testing.T) {
	for name, c := range map[string]struct {
		rows    int
		prepare func(*testing.T, *fixture)
		want    []string
	}{
		"PgBouncer in transaction mode": {10, func(t *testing.T, f *fixture) { f.through(t, pgtest.PgBouncer(t, f.dsn, "transaction")) },
			[]string{"a pooler in transaction mode stands before the database", "name the PostgreSQL server itself in postgres_dsn"}},
		"a standby": {10, func(t *testing.T, f *fixture) { f.through(t, pgtest.Standby(t, f.dsn)) },
			[]string{"the server is a replica (in recovery) and cannot be written", "name the primary in postgres_dsn"}},
		"a disk that fills up": {300000, func(t *testing.T, f *fixture) { pgtest.SmallDisk(t, f.dsn, 24) },
			[]string{"No space left on device", "SQLSTATE 53100", "free disk space on the PostgreSQL server, then run again"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := auditFixture(t, c.rows)
			c.prepare(t, f)
			f.stops(t, c.want)
		})
	}
}

func TestPgBouncerInSessionModeDoes(t *testing.T) {
	const rows = 1000
	f := auditFixture(t, rows)
	f.through(t, pgtest.PgBouncer(t, f.dsn, "session"))
	if r := f.run(t, nil); r.Failed || !strings.Contains(r.text(), "CIDX needs it in session mode") {
		t.Fatalf("told is: %s", r.text())
	}
	f.loaded(t, rows)
}
