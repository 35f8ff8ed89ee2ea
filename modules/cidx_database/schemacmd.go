package database

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/secret"
)

// schemaTime is how long CIDX's migration runner may take.
const schemaTime = 10 * time.Minute

// runSchemaCommand runs the operator's command. The connection is in the
// environment: everybody can read a command line.
func (r *runner) runSchemaCommand(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	config, err := pgconn.ParseConfig(r.dsn)
	if err != nil {
		return r.explain(err)
	}
	command := exec.CommandContext(ctx, "/bin/sh", "-c", r.args.SchemaCommand)
	command.Env = append(os.Environ(), "CIDX_POSTGRES_DSN="+r.dsn, "PGHOST="+config.Host, "PGPORT="+strconv.Itoa(int(config.Port)),
		"PGUSER="+config.User, "PGPASSWORD="+config.Password, "PGDATABASE="+config.Database)
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
	return cidx.Problem{What: "the schema command failed: " + err.Error() + ": " + secret.From(ctx).Hide(text), At: "cidx_schema_command", Fix: "run it by hand as the server's user, then run again"}
}
