package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/problem"
)

// identity is what tells one connection from another.
const identity = `SELECT concat_ws('|', current_user, current_database(), coalesce(inet_server_port()::text, 'socket'), current_setting('search_path'))`

// clean takes libpq's variables and files of whoever runs the tests away.
func clean(t *testing.T) (home string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "PG") {
			t.Setenv(name, "") // restored at the end
			_ = os.Unsetenv(name)
		}
	}
	home = t.TempDir()
	t.Setenv("HOME", home)
	return home
}

// psql asks with PostgreSQL's own client library.
func psql(dsn, sql string) (string, error) {
	out, err := exec.Command("psql", "-XAtwqc", sql, dsn).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func ours(t *testing.T, dsn string) (string, error) {
	ctx := context.Background()
	conn, err := Connect(ctx, dsn, "test")
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	rows, err := Rows(ctx, conn, identity)
	if err != nil {
		t.Fatal(err)
	}
	return string(rows[0][0]), nil
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEveryConnectionStringOfLibpqIsTaken compares with libpq itself.
func TestEveryConnectionStringOfLibpqIsTaken(t *testing.T) {
	home := clean(t)
	whole := pgtest.Database(t)
	port, socket := strconv.Itoa(pgtest.Port(t)), pgtest.Socket(t)
	name := strings.TrimSuffix(whole[strings.LastIndex(whole, "/")+1:], "?sslmode=disable")
	pgtest.Exec(t, whole, `CREATE ROLE "odd us/er" LOGIN PASSWORD 'p@ss/w:rd %''\x'`)
	pgtest.Exec(t, whole, `CREATE ROLE colon LOGIN PASSWORD 'a:b\cd '`)
	uri := "postgresql://admin:" + pgtest.Password + "@127.0.0.1:" + port + "/" + name
	kv := "host=127.0.0.1 port=" + port + " user=admin password=" + pgtest.Password + " dbname=" + name
	open := fmt.Sprintf("127.0.0.1:%s:%s:admin:%s\n", port, name, pgtest.Password)
	file := write(t, filepath.Join(home, "passwords"), "# none\n*:1:*:*:wrong\n"+open)
	write(t, filepath.Join(home, ".pg_service.conf"), "# services\n[other]\nhost=nowhere.invalid\n\n[cidx]\nhost=127.0.0.1\nport="+port+"\nuser=admin\npassword="+pgtest.Password+"\nkeepalives=1\n\n[last]\nport=1\n")
	services := write(t, filepath.Join(home, "services"), "[file]\nhostaddr=127.0.0.1\nport="+port+"\nuser=admin\ndbname="+name+"\ntarget_session_attrs=primary\n")
	standby := pgtest.Standby(t, whole)
	replica := standby[strings.LastIndex(standby, ":")+1 : strings.LastIndex(standby, "/")]
	cases := map[string]struct {
		dsn string
		env map[string]string
	}{
		"a URI":                              {dsn: uri},
		"postgres://":                        {dsn: "postgres" + strings.TrimPrefix(uri, "postgresql")},
		"any server":                         {dsn: uri + "?target_session_attrs=any"},
		"a server that can be written":       {dsn: uri + "?target_session_attrs=read-write"},
		"a primary":                          {dsn: uri + "?target_session_attrs=primary"},
		"a standby is preferred":             {dsn: uri + "?target_session_attrs=prefer-standby"},
		"a standby is wanted and first":      {dsn: "postgresql://admin:" + pgtest.Password + "@127.0.0.1:" + port + ",127.0.0.1:" + replica + "/" + name + "?target_session_attrs=standby"},
		"a standby is read-only":             {dsn: "postgresql://admin:" + pgtest.Password + "@127.0.0.1:" + port + ",127.0.0.1:" + replica + "/" + name + "?target_session_attrs=read-only"},
		"the standby is named first":         {dsn: "postgresql://admin:" + pgtest.Password + "@127.0.0.1:" + replica + ",127.0.0.1:" + port + "/" + name + "?target_session_attrs=read-write"},
		"the first host is down":             {dsn: "postgresql://admin:" + pgtest.Password + "@127.0.0.1:1,127.0.0.1:" + port + "/" + name},
		"one port for several hosts":         {dsn: "host=127.0.0.2,127.0.0.1 port=" + port + " user=admin password=" + pgtest.Password + " dbname=" + name},
		"keep-alives":                        {dsn: uri + "?keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=10000"},
		"no keep-alives":                     {dsn: uri + "?keepalives=0"},
		"no GSSAPI":                          {dsn: uri + "?gssencmode=disable&krbsrvname=postgres"},
		"channel binding if possible":        {dsn: uri + "?channel_binding=prefer"},
		"channel binding is off":             {dsn: uri + "?channel_binding=disable"},
		"TLS if the server has it":           {dsn: uri + "?sslmode=prefer&sslcompression=0&sslsni=1&ssl_min_protocol_version=TLSv1.2"},
		"TLS only if it must":                {dsn: uri + "?sslmode=allow"},
		"an address beside the name":         {dsn: kv + " hostaddr=127.0.0.1 host=no-such-host.invalid"},
		"an address alone":                   {dsn: strings.Replace(kv, "host=", "hostaddr=", 1)},
		"addresses for several names":        {dsn: "host=a.invalid,b.invalid hostaddr=127.0.0.3,127.0.0.1 port=1," + port + " user=admin password=" + pgtest.Password + " dbname=" + name},
		"an IPv6 address that is not there":  {dsn: "postgresql://admin:" + pgtest.Password + "@[::1]:1,127.0.0.1:" + port + "/" + name},
		"a service of the user's file":       {dsn: "service=cidx dbname=" + name},
		"a service in a URI":                 {dsn: "postgresql:///" + name + "?service=cidx"},
		"a service that the string corrects": {dsn: "service=last host=127.0.0.1 port=" + port + " user=admin password=" + pgtest.Password + " dbname=" + name},
		"a service of a file, and passfile":  {dsn: "service=file host=127.0.0.1 passfile=" + file, env: map[string]string{"PGSERVICEFILE": services}},
		"a service of the environment":       {dsn: "dbname=" + name, env: map[string]string{"PGSERVICE": "cidx"}},
		"the environment":                    {dsn: "postgresql:///" + name, env: map[string]string{"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "admin", "PGPASSWORD": pgtest.Password}},
		"an address of the environment":      {dsn: "dbname=" + name + " user=admin", env: map[string]string{"PGHOSTADDR": "127.0.0.1", "PGPORT": port, "PGPASSWORD": pgtest.Password}},
		"a socket":                           {dsn: "host=" + socket + " port=" + port + " user=admin password=" + pgtest.Password + " dbname=" + name},
		"a socket in a URI's query":          {dsn: "postgresql://admin:" + pgtest.Password + "@/" + name + "?host=" + socket + "&port=" + port},
		"a socket, percent-encoded":          {dsn: "postgresql://admin:" + pgtest.Password + "@" + url.QueryEscape(socket) + ":" + port + "/" + name},
		"a socket of the environment":        {dsn: "postgresql:///" + name, env: map[string]string{"PGHOST": socket, "PGPORT": port, "PGUSER": "admin", "PGPASSWORD": pgtest.Password}},
		"a socket and its owner":             {dsn: "host=" + socket + " port=" + port + " requirepeer=" + owner(t, socket) + " user=admin password=" + pgtest.Password + " dbname=" + name},
		"a socket and a password file":       {dsn: "host=" + socket + " port=" + port + " user=admin dbname=" + name + " passfile=" + write(t, filepath.Join(home, "sockets"), strings.Replace(open, "127.0.0.1", socket, 1))},
		"a password file with a password of every character": {dsn: "host=127.0.0.1 port=" + port + " user=colon dbname=" + name + " passfile=" +
			write(t, filepath.Join(home, "colons"), `127.0.0.1:`+port+`:*:colon:a\:b\\c\d `+"\n")},
		"a password file of the environment": {dsn: strings.Replace(kv, "password="+pgtest.Password, "", 1), env: map[string]string{"PGPASSFILE": file}},
		"options":                            {dsn: uri + "?options=-c%20search_path%3Dapp%2Cpublic%20-c%20statement_timeout%3D250"},
		"options in keyword=value":           {dsn: kv + ` options='-csearch_path=app,\\ one -c quote_all_identifiers=on'`},
		"names and encoding":                 {dsn: uri + "?application_name=cidx&fallback_application_name=x&client_encoding=LATIN1&connect_timeout=1"},
		"no time to connect is unlimited":    {dsn: uri + "?connect_timeout=0"},
		"less than none as well":             {dsn: uri + "?connect_timeout=-1"},
		"JDBC's spelling, no TLS":            {dsn: uri + "?sslmode=disable"},
		"quotes and spaces":                  {dsn: " host = '127.0.0.1'  port=" + port + " user='odd us/er' password = 'p@ss/w:rd %\\'\\\\x' dbname='" + name + "' "},
		"percent-encoded user and password":  {dsn: "postgresql://odd%20us%2Fer:p%40ss%2Fw%3Ard%20%25%27%5Cx@127.0.0.1:" + port + "/" + name},
		"empty parameters":                   {dsn: kv + " sslrootcert='' ssl_min_protocol_version='' hostaddr= "},
		"the later of two wins":              {dsn: "dbname=nowhere " + kv + " port=" + port},
		"load balancing":                     {dsn: uri + "?load_balance_hosts=disable"},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			want, err := psql(c.dsn, identity)
			if err != nil && (strings.Contains(want, "invalid connection option") || strings.Contains(want, "invalid URI query parameter")) {
				t.Logf("this libpq is too old: %s", want)
				want = "admin|" + name + "|" + port + `|"$user", public`
			} else if err != nil {
				t.Fatalf("libpq itself: %s", want)
			}
			got, err := ours(t, c.dsn)
			if err != nil || got != want {
				t.Errorf("got %q (%v), libpq gets %q", got, err, want)
			}
		})
	}
}

func owner(t *testing.T, path string) string {
	out, err := exec.Command("stat", "-c", "%U", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestAConnectionStringThatLibpqRefusesIsNamed: the parameter, never its value.
func TestAConnectionStringThatLibpqRefusesIsNamed(t *testing.T) {
	home := clean(t)
	whole := pgtest.Database(t)
	port := strconv.Itoa(pgtest.Port(t))
	base := strings.TrimSuffix(whole, "?sslmode=disable")
	const hidden = "geheim-pw"
	loose := write(t, filepath.Join(home, "loose"), "*:*:*:*:"+pgtest.Password+"\n")
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".pg_service.conf"), "[bad]\npasswort="+hidden+"\n")
	for title, c := range map[string]struct{ dsn, want string }{
		"a parameter that is none":               {base + "?sslmod=" + hidden, "sslmod:"},
		"a parameter of another library":         {base + "?pool_max_conns=3", "pool_max_conns:"},
		"the same in keyword=value":              {"host=x passwort=" + hidden, "passwort:"},
		"a value that is none":                   {base + "?target_session_attrs=" + hidden, "target_session_attrs: its value is none of any"},
		"no value":                               {base + "?target_session_attrs=", "target_session_attrs: its value is none of any"},
		"a TLS mode that is none":                {base + "?sslmode=" + hidden, "sslmode"},
		"a time that is none":                    {base + "?connect_timeout=" + hidden, "connect_timeout: its value is no whole number"},
		"a port that is none":                    {"postgresql://u:x@h:" + hidden + "/d", "port: not a number"},
		"a port out of range":                    {"postgresql://u:x@h:65536/d", "port: not a number"},
		"more ports than hosts":                  {"host=a port=1,2", "2 ports for 1 hosts"},
		"more addresses than hosts":              {"host=a hostaddr=1.1.1.1,1.1.1.2", "2 addresses for 1 hosts"},
		"an unescaped percent":                   {"postgresql://u:" + hidden + "%@h/d", "hexadecimal"},
		"a quote that is not closed":             {"host=x password='" + hidden, "no end"},
		"no equals sign":                         {"host=x " + hidden, `"=" is missing`},
		"another scheme":                         {"postgresql+psycopg://u:" + hidden + "@h/d", `"=" is missing`},
		"an equals sign in a value":              {base + "?options=-c a=" + hidden, "%3D"},
		"a service that is nowhere":              {"service=none", "no service of that name"},
		"a service that libpq refuses":           {"service=bad", "passwort"},
		"GSSAPI is insisted on":                  {base + "?gssencmode=require", "gssencmode=require"},
		"replication":                            {base + "?replication=database", "replication"},
		"verify without a certificate":           {base + "?sslmode=verify-full", "root certificate"},
		"channel binding without TLS":            {base + "?sslmode=disable&channel_binding=require", "channel binding"},
		"another authentication":                 {base + "?require_auth=md5&sslmode=disable", "auth"},
		"a server that is only read":             {base + "?target_session_attrs=read-only", "connection is not read only"},
		"a standby":                              {base + "?target_session_attrs=standby", "server is not in hot standby mode"},
		"a socket of somebody else":              {"postgresql:///x?user=admin&requirepeer=nobody&host=" + pgtest.Socket(t) + "&port=" + port, "requirepeer"},
		"a password file for everybody":          {"host=127.0.0.1 user=admin port=" + port + " passfile=" + loose, "0600"},
		"none of several servers can be reached": {"host=127.0.0.1,127.0.0.1 port=1,2 user=u password=" + hidden, "127.0.0.1:2:"},
	} {
		t.Run(title, func(t *testing.T) {
			if out, err := psql(c.dsn, "SELECT 1"); err == nil && !strings.Contains(c.dsn, "gssencmode") && !strings.Contains(c.dsn, "replication") {
				t.Errorf("libpq takes it: %s", out)
			}
			_, err := ours(t, c.dsn)
			var p problem.Problem
			if !errors.As(err, &p) || p.Fix == "" || p.At == "" || !strings.Contains(strings.ReplaceAll(p.What+p.Fix, "\n", " "), c.want) {
				t.Errorf("got %v, want a problem that names %q", err, c.want)
			}
			for _, s := range []string{hidden, pgtest.Password} {
				if err != nil && strings.Contains(err.Error(), s) {
					t.Errorf("the message shows a value: %v", err)
				}
			}
		})
	}
}

// TestSettingsOfRoleAndDatabaseChangeNothing: what an administrator has set for
// the role, the database or the connection does not reach what we read.
func TestSettingsOfRoleAndDatabaseChangeNothing(t *testing.T) {
	clean(t)
	whole := pgtest.Database(t)
	name := strings.TrimSuffix(whole[strings.LastIndex(whole, "/")+1:], "?sslmode=disable")
	pgtest.Exec(t, whole, `CREATE SCHEMA app`, `CREATE TABLE app.parents (id bigserial PRIMARY KEY, at timestamptz, b bytea, f double precision, i interval, name varchar(16) UNIQUE)`,
		`CREATE TABLE app.children (k text PRIMARY KEY, parent bigint REFERENCES app.parents, CHECK (k <> ''))`,
		`INSERT INTO app.parents VALUES (1, '2026-01-02 03:04:05.678+00', '\x00ff', 0.1::float8 + 0.2, '1 day 02:00', 'x')`)
	ctx := context.Background()
	pause := time.Duration(0)
	ask := func() string {
		conn, err := Connect(ctx, whole+"&options=-csearch_path%3Dapp", "test")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		time.Sleep(pause)
		catalog, err := Inspect(ctx, conn)
		if err != nil {
			t.Fatal(err)
		}
		var tables []*Table
		for _, table := range catalog.Tables {
			tables = append(tables, table)
		}
		plan, err := PlanRebuild(ctx, conn, tables)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := Rows(ctx, conn, `SELECT at, b, f, i, pg_sleep(0.02)::text = '' FROM parents`)
		if err != nil {
			t.Fatal(err)
		}
		parents, children := catalog.Tables["parents"], catalog.Tables["children"]
		return fmt.Sprintf("%s %+v %+v %+v %q", rows[0], *parents, *children, catalog.Server.Schema, plan.before)
	}
	want := ask()
	if !strings.Contains(want, "2026-01-02 03:04:05.678+00 \\x00ff 0.30000000000000004 1 day 02:00:00 t") {
		t.Fatalf("reads %s", want)
	}
	for _, set := range []string{
		"quote_all_identifiers = on", "DateStyle = 'German, DMY'", "IntervalStyle = 'iso_8601'", "TimeZone = 'Pacific/Chatham'", "bytea_output = 'escape'",
		"extra_float_digits = -15", "standard_conforming_strings = off", "statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'",
		"idle_session_timeout = '300ms'", "row_security = off", "client_encoding = 'LATIN1'", "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on",
		"xmloption = 'document'", "exit_on_error = on", "transform_null_equals = on", "array_nulls = off", "backslash_quote = off", "synchronous_commit = off",
		"client_min_messages = 'debug5'", "timezone_abbreviations = 'Australia'", "default_tablespace = 'pg_global'",
	} {
		setting, _, _ := strings.Cut(set, " ")
		for _, whose := range []string{"ROLE admin", "DATABASE " + name} {
			t.Run(whose[:4]+" "+set, func(t *testing.T) {
				pgtest.Exec(t, pgtest.DSN(t, "postgres"), "ALTER "+whose+" SET "+set)
				defer func() { // straight, or a time-out of the setting hits it
					conn, err := Connect(ctx, pgtest.DSN(t, "postgres"), "test")
					if err == nil {
						err = Run(ctx, conn, "ALTER "+whose+" RESET "+setting)
						conn.Close(ctx)
					}
					if err != nil {
						t.Error(err)
					}
				}()
				if pause = 0; setting == "idle_session_timeout" {
					pause = 350 * time.Millisecond // a session must not be ended while it computes
				}
				if got := ask(); got != want {
					t.Errorf("reads\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}
