// Package pgcheck says whether a PostgreSQL database can take a CIDX server. It
// only reads: no table, no lock, no setting that outlives its connection. No
// message of it ever holds a password.
package pgcheck

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// application is our name in pg_stat_activity.
const application = "cidx-cluster"

// timeout bounds all questions together, connecting excluded.
const timeout = 15 * time.Second

// perWorker is what one worker process of CIDX 11.79 opens: a pool of 20 with 5
// overflow, and one connection for the leader election.
const perWorker = 26

// oldest is the oldest release that CIDX's schema works on, as server_version_num.
const oldest = 120000

// landmarks are tables that every CIDX schema has.
var landmarks = []string{"schema_migrations", "users", "groups", "golden_repos_metadata", "global_repos",
	"activated_repos", "server_config", "oauth_clients"}

// Facts are what Check found out.
type Facts struct {
	Address  string   `json:"address"`  // without password
	Version  string   `json:"version"`  // e.g. "15.14"
	Encoding string   `json:"encoding"` // of the database
	Free     int      `json:"free"`     // connections that are left
	Missing  []string `json:"missing"`  // landmark tables that are not there
	Pooler   bool     `json:"pooler"`   // something stands between us and the server
	Nodes    []string `json:"nodes"`    // cluster nodes that were alive within the last minutes

	Alive []nodes.Node `json:"alive"` // cluster nodes that are alive now

	dsn      string
	number   int  // server_version_num
	replica  bool // in recovery
	readOnly bool // transactions are read-only by default
	user     string
	in       string // schema of CIDX's tables; "" for none
	limit    string // of Free

	hasty []string // warnings of limits
}

// Check asks the database whether a migration can succeed. schemaCommand tells
// that the schema will be made if it is missing. Everything that is wrong is in
// the error, a problem.Problem or problem.List; warnings are what works for now.
func Check(ctx context.Context, dsn string, schemaCommand bool) (f Facts, warnings []string, err error) {
	f.Address, f.dsn = postgres.WhereDSN(dsn), dsn
	conn, err := postgres.Connect(ctx, dsn, application)
	if err != nil {
		return f, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var problems problem.List
	schema := func(ctx context.Context, conn *pgconn.PgConn) (problem.List, error) {
		return f.schema(ctx, conn, schemaCommand)
	}
	for _, ask := range []func(context.Context, *pgconn.PgConn) (problem.List, error){f.server, f.limits, f.pooling, schema, f.nodes} {
		more, err := ask(ctx, conn)
		problems = append(problems, more...)
		if err != nil {
			problems.Add(postgres.Explain(err, f.Address))
			return f, nil, problems
		}
	}
	if f.Free >= few && f.Free < perWorker {
		warnings = append(warnings, fmt.Sprintf("%s: %d connections are left; a CIDX node opens up to %d a worker: "+
			"raise %s before more nodes join", f.Address, f.Free, perWorker, f.limit))
	}
	return f, append(warnings, f.hasty...), problems.Err()
}

// Fit is the part of Check that is about the server and what stands before it, on
// a connection of the caller's. pooled reports a pooler that does no harm.
func Fit(ctx context.Context, conn *pgconn.PgConn, dsn string) (pooled bool, err error) {
	f := Facts{Address: postgres.WhereDSN(dsn), dsn: dsn}
	problems, err := f.server(ctx, conn)
	if err != nil {
		return false, err
	}
	more, err := f.pooling(ctx, conn)
	if err != nil {
		return false, err
	}
	return f.Pooler, append(problems, more...).Err()
}

// few connections are too few even for the migration.
const few = 5

func (f *Facts) problem(what, fix string) problem.Problem {
	return problem.Problem{What: what, At: f.Address, Fix: fix}
}

func (f *Facts) server(ctx context.Context, conn *pgconn.PgConn) (problem.List, error) {
	rows, err := postgres.Rows(ctx, conn, `SELECT current_setting('server_version'), current_setting('server_version_num'),
		current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_user,
		most - (SELECT count(*)::int FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND coalesce(whose IN (usesysid, datid), true)), what, coalesce(`+postgres.Schema+`, '')
		FROM (SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
				NULL::oid, 'max_connections'
			UNION ALL SELECT rolconnlimit, oid, 'the connection limit of role ' || rolname
				FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0 AND NOT rolsuper
			UNION ALL SELECT datconnlimit, d.oid, 'the connection limit of database ' || datname
				FROM pg_database d JOIN pg_roles ON rolname = current_user
				WHERE datname = current_database() AND datconnlimit >= 0 AND NOT rolsuper) x(most, whose, what) ORDER BY 7 LIMIT 1`)
	if err != nil {
		return nil, err
	}
	text := func(i int) string { return string(rows[0][i]) }
	f.Version, _, _ = strings.Cut(text(0), " ")
	f.number, _ = strconv.Atoi(text(1))
	f.Encoding, f.replica, f.readOnly, f.user = text(2), text(3) == "t", text(4) == "t", text(5)
	f.limit, f.in = text(7), text(8)
	f.Free, _ = strconv.Atoi(text(6))
	return f.judge(), nil
}

func (f *Facts) judge() (problems problem.List) {
	add := func(what, fix string) { problems = append(problems, f.problem(what, fix)) }
	if f.Encoding != "UTF8" {
		add("the database's encoding is "+f.Encoding+", not UTF8", "create the database anew: createdb -E UTF8 -T template0")
	}
	switch {
	case f.replica:
		add("the server is a replica (in recovery) and cannot be written", "name the primary in postgres_dsn")
	case f.readOnly:
		add("transactions are read-only", "switch default_transaction_read_only off for this role and database")
	}
	if f.number < oldest {
		add("PostgreSQL "+f.Version+" is too old", "use PostgreSQL 12 or newer")
	}
	if f.Free < few {
		add(fmt.Sprintf("only %d connections are left", max(f.Free, 0)), "close some or raise "+f.limit)
	}
	if f.in == "" {
		add("no schema of search_path exists",
			"create schema public, or correct search_path (ALTER ROLE "+postgres.Quote(f.user)+" SET search_path)")
	}
	return problems
}

// Below tooShort CIDX does not get through its start, which makes tables; below
// short a large statement of its may end too soon.
const tooShort, short = time.Second, time.Minute

// limits finds what ends CIDX's statements: our own connections do without it.
func (f *Facts) limits(ctx context.Context, conn *pgconn.PgConn) (problems problem.List, err error) {
	rows, err := postgres.Rows(ctx, conn, `SELECT name, reset_val FROM pg_settings
		WHERE name IN ('statement_timeout', 'transaction_timeout') ORDER BY 1`)
	for _, r := range rows {
		name := string(r[0])
		milliseconds, _ := strconv.Atoi(string(r[1])) // 0: no limit
		limit := time.Duration(milliseconds) * time.Millisecond
		what := fmt.Sprintf("%s is %s for role %s, and CIDX works under it", name, limit, f.user)
		fix := "ALTER ROLE " + postgres.Quote(f.user) + " SET " + name + " = 0, or where else it was set (ALTER DATABASE, postgresql.conf)"
		switch {
		case limit <= 0 || limit >= short:
		case limit < tooShort:
			problems = append(problems, f.problem(what+": it would not get through its start", fix))
		default:
			f.hasty = append(f.hasty, fmt.Sprintf("%s: %s: large statements may end too soon (%s)", f.Address, what, fix))
		}
	}
	return problems, err
}

// pooling finds a pooler, and whether it pools transactions: a setting of one
// connection is then seen by another one, which got the same server process.
func (f *Facts) pooling(ctx context.Context, conn *pgconn.PgConn) (problem.List, error) {
	rows, err := postgres.Rows(ctx, conn, `SELECT pg_backend_pid()`)
	if err != nil {
		return nil, err
	}
	f.Pooler = string(rows[0][0]) != strconv.FormatUint(uint64(conn.PID()), 10)
	if !f.Pooler {
		return nil, nil
	}
	if err := postgres.Run(ctx, conn, `SET cidx_cluster.probe = 'seen'`); err != nil {
		return nil, err
	}
	defer postgres.Run(ctx, conn, `RESET cidx_cluster.probe`) //nolint:errcheck // the connection ends anyway
	second, err := postgres.Connect(ctx, f.dsn, application)
	if err != nil {
		return nil, err
	}
	defer second.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	rows, err = postgres.Rows(ctx, second, `SELECT coalesce(current_setting('cidx_cluster.probe', true), '')`)
	if err != nil || string(rows[0][0]) != "seen" {
		return nil, err
	}
	return problem.List{f.problem("a pooler in transaction mode stands before the database: "+
		"CIDX's advisory locks (schema, leader election) break behind it",
		"name the PostgreSQL server itself in postgres_dsn, or a pool in session mode")}, nil
}

// schema looks for CIDX's tables, where CIDX itself finds them, and for what we
// may do with them.
func (f *Facts) schema(ctx context.Context, conn *pgconn.PgConn, schemaCommand bool) (problem.List, error) {
	if f.in == "" {
		return nil, nil
	}
	var problems problem.List
	rows, err := postgres.Rows(ctx, conn, `SELECT has_schema_privilege($1, 'CREATE')`, f.in)
	if err != nil {
		return nil, err
	}
	if string(rows[0][0]) != "t" {
		problems = append(problems, f.problem("the role may not create tables in schema "+f.in,
			"as a superuser: GRANT CREATE ON SCHEMA "+postgres.Quote(f.in)+" TO "+postgres.Quote(f.user)))
	}
	rows, err = postgres.Rows(ctx, conn, `SELECT t FROM unnest(string_to_array($1, ',')) t
		WHERE to_regclass(quote_ident(t)) IS NULL`, strings.Join(landmarks, ","))
	if err != nil {
		return problems, err
	}
	f.Missing = column(rows)
	if len(f.Missing) > 0 && !schemaCommand {
		problems = append(problems, f.incomplete())
	}
	locked, err := f.locked(ctx, conn)
	return append(problems, locked...), err
}

func (f *Facts) incomplete() problem.Problem {
	what := "CIDX's schema is missing"
	if len(f.Missing) < len(landmarks) {
		what = "CIDX's schema is incomplete: no table " + strings.Join(f.Missing, ", ")
	}
	return f.problem(what, "run CIDX's migration runner "+
		"(python3 -m code_indexer.server.storage.postgres.migrations.runner), or name a command in cidx_schema_command")
}

// locked names tables that the role may not read and write.
func (f *Facts) locked(ctx context.Context, conn *pgconn.PgConn) (problem.List, error) {
	rows, err := postgres.Rows(ctx, conn, `SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE `+postgres.Visible+` AND NOT (SELECT bool_and(has_table_privilege(c.oid, may))
			FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) may) ORDER BY 1`)
	names := column(rows)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if len(names) > few {
		names = append(names[:few], fmt.Sprintf("and %d more tables", len(names)-few))
	}
	return problem.List{f.problem("the role may not read and write "+strings.Join(names, ", "),
		fmt.Sprintf("as the tables' owner: GRANT ALL ON ALL TABLES IN SCHEMA %[1]s TO %[2]s; "+
			"GRANT ALL ON ALL SEQUENCES IN SCHEMA %[1]s TO %[2]s", postgres.Quote(f.in), postgres.Quote(f.user)))}, nil
}

// nodes finds servers that work on this database; CIDX's nodes write a
// heartbeat into cluster_nodes every few seconds.
func (f *Facts) nodes(ctx context.Context, conn *pgconn.PgConn) (problem.List, error) {
	rows, err := postgres.Rows(ctx, conn, `SELECT count(*) = 2 AND bool_and(has_table_privilege(attrelid, 'SELECT')) FROM pg_attribute
		WHERE attrelid = to_regclass('cluster_nodes') AND attname IN ('node_id', 'last_heartbeat')`)
	if err != nil || string(rows[0][0]) != "t" {
		return nil, err
	}
	rows, err = postgres.Rows(ctx, conn, `SELECT node_id FROM cluster_nodes WHERE last_heartbeat > now() - interval '5 minutes' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	f.Nodes = column(rows)
	f.Alive, err = nodes.Alive(ctx, conn)
	return nil, err
}

func column(rows [][][]byte) []string {
	var list []string
	for _, r := range rows {
		list = append(list, string(r[0]))
	}
	return list
}
