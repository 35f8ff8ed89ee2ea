package seed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// afterStart are the tables that a CIDX server creates itself at its first
// start in cluster mode; the migration runner does not know them.
// schema.json marks them created_by "runtime".

// secondary are the indexes besides keys and uniques that make loading the
// large tables cost what it costs in production.
var secondary = []string{
	"idx_audit_logs_timestamp ON audit_logs (timestamp)",
	"idx_audit_logs_action_type ON audit_logs (action_type)",
	"idx_audit_logs_target_type ON audit_logs (target_type)",
	"idx_audit_logs_admin_id ON audit_logs (admin_id)",
	"idx_background_jobs_status ON background_jobs (status)",
	"idx_background_jobs_created_at ON background_jobs (created_at DESC)",
	"idx_background_jobs_repo_alias ON background_jobs (repo_alias)",
	"idx_background_jobs_username ON background_jobs (username)",
	"idx_search_event_log_timestamp ON search_event_log (timestamp)",
	"idx_search_event_log_username ON search_event_log (username, timestamp)",
	"idx_search_event_log_correlation ON search_event_log (correlation_id)",
	"idx_search_embed_event_timestamp ON search_embed_event (timestamp)",
	"idx_search_embed_event_correlation ON search_embed_event (correlation_id)",
	"idx_embedding_call_stats_occurred ON embedding_call_stats (occurred_at)",
	"idx_embedding_call_stats_provider ON embedding_call_stats (provider, occurred_at)",
	"idx_refresh_tokens_family ON refresh_tokens (family_id)",
	"idx_refresh_tokens_hash ON refresh_tokens (token_hash)",
	"idx_research_messages_session ON research_messages (session_id)",
	"idx_user_recovery_codes_user ON user_recovery_codes (user_id)",
	"idx_sync_jobs_username ON sync_jobs (username)",
}

// ApplySchema creates CIDX's tables in the database of dsn as CIDX's migration
// runner does, and records 39 migration files. Tables that exist are left
// alone. With afterStart it also creates the tables of a first server start.
func ApplySchema(ctx context.Context, dsn string, afterStart bool) error {
	tables, err := Schema()
	if err != nil {
		return err
	}
	return inTransaction(ctx, dsn, func(tx pgx.Tx) error {
		for _, t := range tables {
			if t.Postgres == nil || t.Postgres.Runtime && !afterStart {
				continue
			}
			if err := createTable(ctx, tx, t); err != nil {
				return fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
		for _, t := range tables {
			if err := addForeignKeys(ctx, tx, t); err != nil {
				return fmt.Errorf("create foreign keys of %s: %w", t.Name, err)
			}
		}
		for _, index := range secondary {
			if _, err := tx.Exec(ctx, "CREATE INDEX IF NOT EXISTS "+index); err != nil {
				return fmt.Errorf("create index %s: %w", index, err)
			}
		}
		return recordMigrations(ctx, tx)
	})
}

func inTransaction(ctx context.Context, dsn string, do func(pgx.Tx) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	return pgx.BeginFunc(ctx, conn, do)
}

func createTable(ctx context.Context, tx pgx.Tx, t Table) error {
	for _, statement := range tableStatements(t) {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func tableStatements(t Table) []string {
	var before, after, parts []string
	for _, c := range t.Postgres.Columns {
		part := quote(c.Name) + " " + c.Type
		if !c.Nullable {
			part += " NOT NULL"
		}
		if c.Sequence != "" {
			as := " AS integer"
			if c.Type == "bigint" {
				as = ""
			}
			before = append(before, "CREATE SEQUENCE IF NOT EXISTS "+quote(c.Sequence)+as)
			part += " DEFAULT nextval('" + c.Sequence + "'::regclass)"
			after = append(after, fmt.Sprintf("ALTER SEQUENCE %s OWNED BY %s.%s", quote(c.Sequence), quote(t.Name), quote(c.Name)))
		} else if c.Default != "" {
			part += " DEFAULT " + c.Default
		}
		parts = append(parts, part)
	}
	if len(t.Postgres.PrimaryKey) > 0 {
		parts = append(parts, "PRIMARY KEY ("+columnList(t.Postgres.PrimaryKey)+")")
	}
	for _, c := range t.Postgres.Checks {
		parts = append(parts, fmt.Sprintf("CHECK (%s IN (%s))", quote(c.Column), strings.Join(c.Allowed, ", ")))
	}
	for _, u := range t.Postgres.Uniques {
		if u.Where == "" {
			parts = append(parts, "UNIQUE ("+columnList(u.Columns)+")")
			continue
		}
		after = append(after, fmt.Sprintf("CREATE UNIQUE INDEX IF NOT EXISTS %s ON %s (%s) WHERE %s",
			quote("uq_"+t.Name+"_"+u.Columns[0]), quote(t.Name), columnList(u.Columns), u.Where))
	}
	create := fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (\n  %s\n)", quote(t.Name), strings.Join(parts, ",\n  "))
	return append(append(before, create), after...)
}

func addForeignKeys(ctx context.Context, tx pgx.Tx, t Table) error {
	if t.Postgres == nil {
		return nil
	}
	for _, f := range t.Postgres.ForeignKeys {
		name := t.Name + "_" + f.Columns[0] + "_fkey"
		var exists bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_constraint WHERE conname = $1 AND conrelid = $2::regclass)`,
			name, t.Name).Scan(&exists)
		if err != nil || exists {
			if err != nil {
				return err
			}
			continue
		}
		_, err = tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE %s",
			quote(t.Name), quote(name), columnList(f.Columns), quote(f.References), columnList(f.RefColumns), f.OnDelete))
		if err != nil {
			return err
		}
	}
	return nil
}

// recordMigrations fills schema_migrations with CIDX's 39 files; two of them have number 024.
func recordMigrations(ctx context.Context, tx pgx.Tx) error {
	number := 0
	for file := 1; file <= 39; file++ {
		number++
		if file == 25 {
			number = 24
		}
		name := fmt.Sprintf("%03d_migration_%02d.sql", number, file)
		if file == 1 {
			name = "001_initial_schema.sql"
		}
		sum := sha256.Sum256([]byte(name))
		_, err := tx.Exec(ctx, `INSERT INTO schema_migrations (filename, checksum) VALUES ($1, $2) ON CONFLICT (filename) DO NOTHING`,
			name, hex.EncodeToString(sum[:]))
		if err != nil {
			return fmt.Errorf("record migration %s: %w", name, err)
		}
	}
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func columnList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}
