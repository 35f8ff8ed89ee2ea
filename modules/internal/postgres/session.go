package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// depended are the settings that change what we read or write, or end what we
// do, wherever they were set: in postgresql.conf, by ALTER DATABASE, by ALTER
// ROLE, in the connection string. Those that a release does not have are left
// out. Left as they are: search_path, role and session_replication_role, because
// CIDX works with the same ones, and default_transaction_read_only, which is
// reported. row_security off means an error instead of rows that are missing.
var depended = [][2]string{
	{"lock_timeout", "0"}, {"idle_in_transaction_session_timeout", "0"}, {"idle_session_timeout", "0"}, {"transaction_timeout", "0"},
	{"exit_on_error", "off"}, {"client_min_messages", "warning"},
	{"TimeZone", "UTC"}, {"timezone_abbreviations", "Default"}, {"DateStyle", "ISO, YMD"}, {"IntervalStyle", "postgres"},
	{"client_encoding", "UTF8"}, {"bytea_output", "hex"}, {"extra_float_digits", "1"}, {"xmloption", "content"},
	{"quote_all_identifiers", "off"}, {"standard_conforming_strings", "on"}, {"backslash_quote", "safe_encoding"},
	{"escape_string_warning", "off"}, {"array_nulls", "on"}, {"transform_null_equals", "off"}, {"row_security", "off"},
	{"default_transaction_isolation", "read committed"}, {"default_transaction_deferrable", "off"},
	{"default_tablespace", ""}, {"temp_tablespaces", ""}, {"jit", "off"},
}

// prepare makes a new session independent of everybody's settings. The first
// statement goes alone: a time-out of a millisecond must not end the second.
func prepare(ctx context.Context, conn *pgconn.PgConn) error {
	if err := Run(ctx, conn, "SET statement_timeout = 0"); err != nil {
		return err
	}
	var values []string
	for _, d := range depended {
		values = append(values, "('"+d[0]+"', '"+d[1]+"')")
	}
	return Run(ctx, conn, `SELECT pg_catalog.set_config(s.name, w.value, false) FROM (VALUES `+strings.Join(values, ", ")+`) w(name, value)
		JOIN pg_catalog.pg_settings s ON s.name OPERATOR(pg_catalog.=) w.name WHERE s.setting OPERATOR(pg_catalog.<>) w.value;
		SELECT pg_catalog.set_config('synchronous_commit', 'local', false)
		WHERE pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'`)
}
