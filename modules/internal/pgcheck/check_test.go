package pgcheck

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// schema makes the landmark tables.
func schema(t *testing.T, dsn string) {
	for _, table := range landmarks {
		pgtest.Exec(t, dsn, "CREATE TABLE "+table+" (id int)")
	}
}

func TestCheckAcceptsADatabaseWithSchema(t *testing.T) {
	dsn := pgtest.Database(t)
	schema(t, dsn)
	f, warnings, err := Check(context.Background(), dsn, false)
	if err != nil {
		t.Fatal(err)
	}
	if f.Encoding != "UTF8" || f.Version == "" || f.Pooler || f.Free < 10 || len(warnings) > 0 {
		t.Errorf("found %+v, warnings %q", f, warnings)
	}
	if strings.Contains(f.Address, pgtest.Password) || !strings.HasPrefix(f.Address, "postgresql://admin@127.0.0.1:") {
		t.Errorf("address is %q", f.Address)
	}
}

func TestCheckWarnsOfStatementsThatMayEndTooSoon(t *testing.T) {
	dsn := pgtest.Database(t)
	schema(t, dsn)
	pgtest.Exec(t, dsn, "ALTER DATABASE "+dsn[strings.LastIndex(dsn, "/")+1:strings.Index(dsn, "?")]+" SET statement_timeout = '5s'")
	_, warnings, err := Check(context.Background(), dsn, false)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "statement_timeout is 5s for role admin") {
		t.Errorf("%q, %v", warnings, err)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	whole := pgtest.Database(t)
	schema(t, whole)
	port := pgtest.Port(t)
	pgtest.Exec(t, pgtest.DSN(t, "postgres"),
		"CREATE ROLE weak LOGIN PASSWORD 'weak'", "CREATE ROLE reader LOGIN PASSWORD 'reader'", "ALTER ROLE reader SET default_transaction_read_only = on",
		"CREATE ROLE hasty LOGIN SUPERUSER PASSWORD 'hasty'", "ALTER ROLE hasty SET statement_timeout = '50ms'",
		"CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	pgtest.Exec(t, whole, "CREATE TABLE private (id int)", "GRANT ALL ON ALL TABLES IN SCHEMA public TO weak, reader", "REVOKE ALL ON private FROM weak", "GRANT ALL ON SCHEMA public TO reader")
	partly := pgtest.Database(t)
	pgtest.Exec(t, partly, "CREATE TABLE users (id int)")
	as := func(user, password, host string, port int, database string) string {
		return fmt.Sprintf("postgresql://%s:%s@%s:%d/%s?sslmode=disable", user, password, host, port, database)
	}
	name := whole[strings.LastIndex(whole, "/")+1 : strings.Index(whole, "?")]
	closed := closedPort(t)
	cases := map[string]struct {
		dsn   string
		what  []string
		fixes []string
	}{
		"not a connection string": {"postgresql://u:geheim@:x:y/", []string{"not a PostgreSQL connection string"}, []string{"postgresql://user:password@host:5432/database"}},
		"statements that end at once": {as("hasty", "hasty", "127.0.0.1", port, name),
			[]string{"statement_timeout is 50ms for role hasty"}, []string{`ALTER ROLE "hasty" SET statement_timeout = 0`}},
		"a host that is not known": {as("admin", pgtest.Password, "no-such-host.invalid", port, name), []string{"no-such-host.invalid"}, []string{"correct the host"}},
		"nothing listens":          {as("admin", pgtest.Password, "127.0.0.1", closed, name), []string{"connection refused"}, []string{"start PostgreSQL"}},
		"a wrong password":         {as("admin", "falsches-Passwort", "127.0.0.1", port, name), []string{"password authentication failed"}, []string{"cidx_postgres_dsn"}},
		"a database that is missing": {as("admin", pgtest.Password, "127.0.0.1", port, "nowhere"),
			[]string{`"nowhere" does not exist`}, []string{"create the database"}},
		"a server without TLS":        {strings.Replace(as("admin", pgtest.Password, "127.0.0.1", port, name), "disable", "require", 1), []string{"TLS"}, []string{"sslmode"}},
		"no schema":                   {pgtest.Database(t), []string{"CIDX's schema is missing"}, []string{"cidx_schema_command"}},
		"a part of the schema":        {partly, []string{"no table schema_migrations, groups"}, []string{"migration runner"}},
		"another encoding":            {pgtest.DSN(t, "latin"), []string{"encoding is LATIN1", "schema is missing"}, []string{"createdb -E UTF8", ""}},
		"a role without rights":       {as("weak", "weak", "127.0.0.1", port, name), []string{"may not create tables", "may not read and write private"}, []string{"GRANT CREATE", "GRANT ALL"}},
		"transactions only for reads": {as("reader", "reader", "127.0.0.1", port, name), []string{"read-only"}, []string{"default_transaction_read_only"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := Check(context.Background(), c.dsn, false)
			problems := problem.Of(err)
			if len(problems) != len(c.what) {
				t.Fatalf("problems: %v", err)
			}
			for i, p := range problems {
				if !strings.Contains(p.What, c.what[i]) || !strings.Contains(p.Fix, c.fixes[i]) || p.At == "" {
					t.Errorf("got %+v, want %q with fix %q", p, c.what[i], c.fixes[i])
				}
			}
			for _, secret := range []string{pgtest.Password, "falsches-Passwort", "geheim"} {
				if strings.Contains(err.Error(), secret) {
					t.Error("the message shows the password")
				}
			}
		})
	}
	if _, _, err := Check(context.Background(), partly, true); err != nil {
		t.Errorf("with a schema command, an incomplete schema: %v", err)
	}
}

// TestCheckLooksWhereTheServerLooks: the tables lie in a schema of search_path
// other than public.
func TestCheckLooksWhereTheServerLooks(t *testing.T) {
	dsn := pgtest.Database(t)
	name := dsn[strings.LastIndex(dsn, "/")+1 : strings.Index(dsn, "?")]
	pgtest.Exec(t, dsn, "CREATE SCHEMA app", "ALTER DATABASE "+name+" SET search_path = app, public", "CREATE TABLE public.users (id int)")
	if _, _, err := Check(context.Background(), dsn, false); err == nil || !strings.Contains(err.Error(), "incomplete: no table schema_migrations, groups") {
		t.Errorf("with one table in public: %v", err)
	}
	schema(t, dsn) // a new session: search_path holds
	f, _, err := Check(context.Background(), dsn, false)
	if err != nil || len(f.Missing) > 0 {
		t.Errorf("with all tables in app: missing %q, %v", f.Missing, err)
	}
	pgtest.Exec(t, dsn, "ALTER DATABASE "+name+" SET search_path = nowhere")
	if _, _, err := Check(context.Background(), dsn, false); err == nil || !strings.Contains(err.Error(), "no schema of search_path exists") {
		t.Errorf("without a schema: %v", err)
	}
}

func TestCheckTellsAPoolerInTransactionMode(t *testing.T) {
	dsn := pgtest.Database(t)
	schema(t, dsn)
	_, _, err := Check(context.Background(), pgtest.PgBouncer(t, dsn, "transaction"), false)
	if err == nil || !strings.Contains(err.Error(), "pooler in transaction mode") {
		t.Errorf("got %v", err)
	}
	f, _, err := Check(context.Background(), pgtest.PgBouncer(t, dsn, "session"), false)
	if err != nil || !f.Pooler {
		t.Errorf("in session mode: pooler seen %v, got %v", f.Pooler, err)
	}
}

func TestCheckTellsAReplica(t *testing.T) {
	dsn := pgtest.Database(t)
	schema(t, dsn)
	_, _, err := Check(context.Background(), pgtest.Standby(t, dsn), false)
	if err == nil || !strings.Contains(err.Error(), "the server is a replica (in recovery)") || !strings.Contains(err.Error(), "name the primary") {
		t.Errorf("got %v", err)
	}
}

func closedPort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
