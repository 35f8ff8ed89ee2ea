package pgcheck

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"cidx-cluster/modules/internal/cidx"
)

// Facts are what Check found out.
type Facts struct {
	Address     string // without password
	Version     string // e.g. "15.14"
	Number      int    // server_version_num
	Encoding    string // server_encoding
	Replica     bool   // in recovery
	ReadOnly    bool   // transactions are read-only by default
	Free        int    // connections that are left
	Schema      bool   // CIDX's tables are there
	Missing     []string
	Pooler      bool // something stands between us and the server
	Transaction bool // and it pools transactions
}

// Options of Check.
type Options struct {
	SchemaCommand bool // a command will make the schema
}

// perNode is what one worker process of CIDX 11.79 opens: a pool of 20 with 5
// overflow, and one for the leader election.
const perNode = 26

// landmarks are tables that every CIDX schema has.
var landmarks = []string{"schema_migrations", "users", "groups", "golden_repos_metadata", "global_repos", "activated_repos", "server_config", "oauth_clients"}

// Check asks the database whether a migration can succeed. Everything that is
// wrong is in the error, a cidx.Problems; warnings are what will work for now.
func Check(ctx context.Context, dsn string, o Options) (f Facts, warnings []string, err error) {
	conn, err := Connect(ctx, dsn)
	if err != nil {
		return f, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	f.Address = address(conn.Config())
	ctx, cancel := context.WithTimeout(ctx, 2*Timeout)
	defer cancel()
	if err := f.server(ctx, conn); err != nil {
		return f, nil, f.unasked(err)
	}
	problems := f.judgeServer()
	pooling, err := f.pooler(ctx, dsn, conn)
	if err != nil {
		return f, nil, f.unasked(err)
	}
	problems = append(problems, pooling...)
	more, err := f.schema(ctx, conn, o)
	if err != nil {
		return f, nil, f.unasked(err)
	}
	problems = append(problems, more...)
	if f.Free >= 5 && f.Free < perNode {
		warnings = append(warnings, fmt.Sprintf("%s: %d connections are left; a CIDX node opens up to %d a worker: raise max_connections before adding nodes", f.Address, f.Free, perNode))
	}
	return f, warnings, problems.Err()
}

func (f Facts) unasked(err error) error {
	return cidx.Problem{What: "ask the server: " + err.Error(), At: f.Address, Fix: "see the server's log"}
}

func (f *Facts) server(ctx context.Context, conn *pgx.Conn) error {
	const sql = `SELECT current_setting('server_version'), current_setting('server_version_num')::int,
		current_setting('server_encoding'), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
			- (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend')`
	return conn.QueryRow(ctx, sql).Scan(&f.Version, &f.Number, &f.Encoding, &f.Replica, &f.ReadOnly, &f.Free)
}

func (f Facts) judgeServer() cidx.Problems {
	var problems cidx.Problems
	add := func(what, fix string) {
		problems = append(problems, cidx.Problem{What: what, At: f.Address, Fix: fix})
	}
	if f.Encoding != "UTF8" {
		add("the database's encoding is "+f.Encoding+", not UTF8", "create the database anew: createdb -E UTF8 -T template0")
	}
	switch {
	case f.Replica:
		add("the server is a replica (in recovery): it cannot be written", "name the primary in postgres_dsn")
	case f.ReadOnly:
		add("transactions are read-only", "switch default_transaction_read_only off for this role and database")
	}
	const oldest = 120000 // generated columns and what CIDX's migration files use
	if f.Number < oldest {
		add("PostgreSQL "+f.Version+" is too old", "use PostgreSQL 12 or newer")
	}
	if f.Free < 5 {
		add(fmt.Sprintf("only %d connections are left", f.Free), "close connections or raise max_connections")
	}
	return problems
}

// pooler finds a pooler, and whether it pools transactions: a setting of one
// connection is then seen in another one, which got the same server process.
func (f *Facts) pooler(ctx context.Context, dsn string, conn *pgx.Conn) (cidx.Problems, error) {
	var pid uint32
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		return nil, err
	}
	f.Pooler = pid != conn.PgConn().PID()
	if !f.Pooler {
		return nil, nil
	}
	if _, err := conn.Exec(ctx, `SET cidx_cluster.probe = 'seen'`); err != nil {
		return nil, err
	}
	defer conn.Exec(ctx, `RESET cidx_cluster.probe`) //nolint:errcheck // the connection ends anyway
	second, err := Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer second.Close(context.WithoutCancel(ctx))
	var seen *string
	if err := second.QueryRow(ctx, `SELECT current_setting('cidx_cluster.probe', true)`).Scan(&seen); err != nil {
		return nil, err
	}
	f.Transaction = seen != nil && *seen == "seen"
	if !f.Transaction {
		return nil, nil
	}
	return cidx.Problems{{What: "a pooler in transaction mode stands before the database: CIDX's advisory locks (schema, leader election) break behind it", At: f.Address, Fix: "name the PostgreSQL server itself in postgres_dsn, or a pool in session mode"}}, nil
}

// schema looks for CIDX's tables and what we may do with them.
func (f *Facts) schema(ctx context.Context, conn *pgx.Conn, o Options) (cidx.Problems, error) {
	var create bool
	if err := conn.QueryRow(ctx, `SELECT has_schema_privilege(current_user, 'public', 'CREATE')`).Scan(&create); err != nil {
		return nil, err
	}
	var problems cidx.Problems
	if !create {
		problems = append(problems, cidx.Problem{What: "the role may not create tables in schema public", At: f.Address, Fix: fmt.Sprintf("as a superuser: GRANT CREATE ON SCHEMA public TO %s;", pgx.Identifier{conn.Config().User}.Sanitize())})
	}
	rows, err := conn.Query(ctx, `SELECT t FROM unnest(string_to_array($1, ',')) t WHERE to_regclass('public.' || quote_ident(t)) IS NULL`, strings.Join(landmarks, ","))
	if err != nil {
		return nil, err
	}
	if f.Missing, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	f.Schema = len(f.Missing) == 0
	if !f.Schema && !o.SchemaCommand {
		what := "CIDX's schema is missing"
		if len(f.Missing) < len(landmarks) {
			what = "CIDX's schema is incomplete: no table " + strings.Join(f.Missing, ", ")
		}
		problems = append(problems, cidx.Problem{What: what, At: f.Address, Fix: "run CIDX's migration runner (python3 -m code_indexer.server.storage.postgres.migrations.runner), or name it in cidx_schema_command"})
	}
	locked, err := f.locked(ctx, conn)
	if err != nil {
		return nil, err
	}
	if len(locked) > 0 {
		problems = append(problems, cidx.Problem{What: "the role may not read and write " + strings.Join(locked, ", "), At: f.Address, Fix: fmt.Sprintf("as the tables' owner: GRANT ALL ON ALL TABLES IN SCHEMA public TO %[1]s; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO %[1]s;", pgx.Identifier{conn.Config().User}.Sanitize())})
	}
	return problems, nil
}

// locked lists tables on which the role lacks rights, at most five.
func (f *Facts) locked(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
		AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
		ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if len(list) > 5 {
		list = append(list[:5], fmt.Sprintf("and %d more tables", len(list)-5))
	}
	return list, err
}
