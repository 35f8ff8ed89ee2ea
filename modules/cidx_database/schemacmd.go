package database

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
)

// ensureSchema makes CIDX's schema with the operator's command if there is
// none. none reports that a rehearsal cannot go on without it.
func (r *runner) ensureSchema(ctx context.Context) (none bool, err error) {
	if r.hasSchema() {
		return false, nil
	}
	const runner = "python3 -m code_indexer.server.storage.postgres.migrations.runner --connection-string <dsn>"
	if r.args.SchemaCommand == "" {
		return false, problem.Problem{What: "the database has none of CIDX's tables", At: r.where,
			Fix: "create the schema as the server's user with CIDX's own runner (" + runner + "), or set cidx_schema_command"}
	}
	if r.mode.Check {
		r.out.Changed = true
		r.out.Msg = "would create CIDX's schema with cidx_schema_command, then load"
		r.warnings.add("the database has none of CIDX's tables: " +
			"only the SQLite files were rehearsed, run the schema command and the rehearsal again to see the rest")
		return true, r.source.integrity(ctx, r.meter)
	}
	progress.Line(ctx, "  Creating CIDX's schema...")
	if err := runSchemaCommand(ctx, r.settings); err != nil {
		return false, err
	}
	if err := r.inspect(ctx); err != nil {
		return false, err
	}
	if r.out.Changed = r.hasSchema(); !r.out.Changed {
		return false, problem.Problem{What: "the schema command ended without an error, but CIDX's tables are still missing", At: r.where,
			Fix: "correct cidx_schema_command: it must use the connection in CIDX_POSTGRES_DSN"}
	}
	return false, nil
}

// schemaTime is how long CIDX's migration runner may take.
const schemaTime = 10 * time.Minute

// runSchemaCommand runs the operator's command. The connection is in the
// environment: everybody can read a command line.
func runSchemaCommand(ctx context.Context, set *settings) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	variables, err := postgres.Environment(ctx, set.dsn)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "/bin/sh", "-c", set.args.SchemaCommand)
	command.Env = append(append(os.Environ(), "CIDX_POSTGRES_DSN="+set.dsn), variables...)
	command.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err = command.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(output.String())
	if len(text) > 2000 {
		text = "…" + text[len(text)-2000:]
	}
	return problem.Problem{What: "the schema command failed: " + err.Error() + ": " + secret.From(ctx).Hide(text),
		At: "cidx_schema_command", Fix: "run it by hand as the server's user, then run again"}
}
