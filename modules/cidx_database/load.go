package database

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/keyring"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/origin"
	"cidx-cluster/modules/internal/pgcheck"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/secret"
)

// load moves the data, or rehearses it in check mode.
func (r *runner) load(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.Clock.Lap("prepare")
	if done, err := r.alreadyLoaded(ctx); done || err != nil {
		return err
	}
	if none, err := r.ensureSchema(ctx); none || err != nil {
		return err
	}
	var problems problem.List
	problems.Add(r.lookAhead(ctx))
	r.plan.TellLacking(ctx)
	r.Clock.Lap("plan")
	if r.mode.Check {
		return r.rehearse(ctx, problems)
	}
	if len(problems) == 0 {
		if done, err := r.fromWarm(ctx); done || err != nil {
			return r.Explain(err)
		}
	}
	problems.Add(r.checked())
	if err := problems.Err(); err != nil {
		return errors.Join(err, r.Lists.Save())
	}
	if err := r.Lists.RemoveOld(); err != nil {
		return err
	}
	var err error
	if r.loaded, err = r.order().Move(ctx); err != nil {
		if n := r.loaded.Finds.Total(); n > 0 && !r.Committed {
			r.out.Msg = fmt.Sprintf("%s values or rows do not fit; PostgreSQL is as it was", human.Number(n))
		}
		return errors.Join(err, r.Lists.Save())
	}
	return r.finish(ctx)
}

// prepare opens the source and the target.
func (r *runner) prepare(ctx context.Context) error {
	var problems problem.List
	var err error
	r.keys, err = keyring.Open(ctx, r.args.Common, hostName(), r.args.OldHostNames, r.Notes)
	problems.Add(err)
	opening := make(chan error, 1)
	go func() {
		source, err := r.chooseSource(ctx)
		r.source = source
		opening <- err
	}()
	problems.Add(r.connect(ctx))
	problems.Add(<-opening)
	if err := problems.Err(); err != nil {
		return err
	}
	if !r.mode.Check { // a rehearsal checks all
		r.checked = r.source.CheckSmall(ctx)
	} else if r.source.Temporary {
		r.Warnings.Add("rehearsed on copies of databases that may be in use: only as consistent as a running server allows")
	}
	if len(r.source.Dangling) > 0 {
		r.Warnings.Add("activated repositories without a folder, which the cluster will list all the same: %s",
			load.Head(r.source.Dangling, 10))
	}
	return r.fit(ctx)
}

// fit finds what makes a server unfit for a load, as the precheck does.
func (w *work) fit(ctx context.Context) error {
	pooled, err := pgcheck.Fit(ctx, w.Conn, w.dsn)
	if pooled && err == nil {
		w.Warnings.Add("a connection pooler stands before PostgreSQL; CIDX needs it in session mode")
	}
	return w.Explain(err)
}

// lookAhead makes the plan, finds what an earlier warm load has left, and tries
// the keys.
func (r *runner) lookAhead(ctx context.Context) error {
	var problems problem.List
	err := r.makePlan(r.moment)
	problems.Add(err)
	r.held.warm, err = r.terms().Find(ctx, r.Session, r.Notes)
	problems.Add(r.Explain(err))
	r.trial, err = r.keys.Try(ctx, r.plan.Tables, r.accepted, r.Notes)
	problems.Add(err)
	if text, from := r.trial.SaltToCreate(); text != "" && r.mode.Check {
		r.Warnings.Add("%s is absent; it will be created with the text under which the tokens decrypt (%s)", keyring.SaltFile, from)
	}
	return problems.Err()
}

// chooseSource takes the private snapshot of the backup step. A rehearsal takes
// copies of its own, unless the snapshot is what the cluster was loaded from.
func (s *settings) chooseSource(ctx context.Context) (*origin.Source, error) {
	switch {
	case s.args.Phase == phaseWarm:
		return s.Warm(ctx)
	case s.mode.Check && !s.loadedBefore(ctx):
		return s.Copies(ctx)
	}
	return s.Snapshot(ctx)
}

// loadedBefore reports whether this home is a migrated one that has not gone
// back to standalone mode.
func (s *settings) loadedBefore(ctx context.Context) bool {
	// ClusterConfig may have answered from the copy that is kept after a rollback.
	now, err := s.args.Config(ctx)
	if err != nil || s.Config.Path == "" || now.StorageMode != cidx.ModePostgres || !s.HasSnapshot() {
		return false
	}
	there, err := durable.Exists(s.State.Database())
	return there || err != nil
}

// hasSchema reports whether the target has any table of CIDX's.
func (w *work) hasSchema() bool {
	for _, t := range cidx.Catalogue {
		if t.Copied() && w.Catalog.Tables[t.Name] != nil {
			return true
		}
	}
	return false
}

// ensureSchema makes CIDX's schema with the operator's command if there is
// none. none reports that a rehearsal cannot go on without it.
func (r *runner) ensureSchema(ctx context.Context) (none bool, err error) {
	if r.hasSchema() {
		return false, nil
	}
	const runner = "python3 -m code_indexer.server.storage.postgres.migrations.runner --connection-string <dsn>"
	if r.args.SchemaCommand == "" {
		return false, problem.Problem{What: "the database has none of CIDX's tables", At: r.Where,
			Fix: "create the schema as the server's user with CIDX's own runner (" + runner + "), or set cidx_schema_command"}
	}
	if r.mode.Check {
		r.out.Changed = true
		r.out.Msg = "would create CIDX's schema with cidx_schema_command, then load"
		r.Warnings.Add("the database has none of CIDX's tables: " +
			"only the SQLite files were rehearsed, run the schema command and the rehearsal again to see the rest")
		return true, r.source.Integrity(ctx, r.checking)
	}
	progress.Line(ctx, "  Creating CIDX's schema...")
	if err := runSchemaCommand(ctx, r.settings); err != nil {
		return false, err
	}
	if err := r.Inspect(ctx); err != nil {
		return false, err
	}
	if r.out.Changed = r.hasSchema(); !r.out.Changed {
		return false, problem.Problem{What: "the schema command ended without an error, but CIDX's tables are still missing", At: r.Where,
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
	return problem.Problem{What: "the schema command failed: " + err.Error() + ": " + human.Clip(secret.From(ctx).Hide(text), 2000),
		At: "cidx_schema_command", Fix: "run it by hand as the server's user, then run again"}
}
