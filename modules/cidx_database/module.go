// Package database is the module cidx_database: it moves the rows of a
// standalone server from SQLite to PostgreSQL, proves that they arrived, and
// tells later what the cluster has made of them.
//
// It promises: the server's SQLite files are not touched; PostgreSQL gets
// everything in one transaction or nothing; every row is compared, value by
// value, before that transaction commits; no row is left out silently; a second
// run changes nothing.
package database

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/progress"
)

// Phases of the module.
const (
	phaseWarm     = "warm"
	phaseLoad     = "load"
	phaseVerify   = "verify"
	phaseRollback = "rollback"
)

// args are the module's arguments.
type args struct {
	home.Common
	Phase         string   `arg:"phase" choices:"warm,load,verify,rollback" default:"load"`
	DSN           string   `arg:"postgres_dsn" secret:"true"`
	Quarantine    bool     `arg:"quarantine" default:"false"`
	TimeZone      string   `arg:"time_zone"`
	PathSpelling  string   `arg:"path_spelling" choices:"mount,local" default:"mount"`
	Accept        []string `arg:"accept"`
	SchemaCommand string   `arg:"schema_command"`
	OldHostNames  []string `arg:"old_host_names"`
}

var documented = map[string]string{
	"phase": "C(load) moves the data. C(warm) moves it while the server still runs, so that C(load) has only to move what has " +
		"changed since; a C(load) without it moves everything. C(verify) compares PostgreSQL with what was loaded. C(rollback) " +
		"writes down what the cluster has changed and marks the data as given up, so that a later C(load) may replace it.",
	"postgres_dsn": "PostgreSQL connection string. Default: C(postgres_dsn) of C(config.json).",
	"quarantine":   "Put rows that PostgreSQL cannot take into C(report/quarantine.jsonl) and go on, instead of stopping.",
	"time_zone": "Zone of the times that CIDX keeps as local time, for example C(Europe/Berlin). " +
		"Default: the zone of the host.",
	"path_spelling": "C(mount) rewrites absolute paths of repositories to the share. " +
		"C(local) keeps them; they work through the link at the old place.",
	"accept": "Tables, columns (C(table.column)) and database files that may stay behind although they hold data.",
	"schema_command": "Command that creates CIDX's schema when PostgreSQL has none. It is run by C(/bin/sh); the connection is in " +
		"C(CIDX_POSTGRES_DSN) and C(PGHOST), C(PGPORT), C(PGUSER), C(PGPASSWORD), C(PGDATABASE).",
	"old_host_names": "Former host names of this server. Stored tokens may still be encrypted under one of them.",
}

// Module is cidx_database.
func Module() ansible.Module {
	return ansible.New(ansible.Doc{
		Name:      "cidx_database",
		Short:     "Move a standalone server's data from SQLite to PostgreSQL",
		Arguments: documented,
		Description: []string{
			"Loads the private snapshot that M(cidx.cluster.cidx_backup) has taken into CIDX's schema, " +
				"in one transaction, with binary COPY.",
			"Every value is checked before and every row is compared before the transaction commits.",
			"Existing rows of a first cluster start are replaced; any other existing row stops the module.",
			"Also builds C(activated_repos) from the metadata files, puts the MFA and JWT keys into C(cluster_secrets), " +
				"and fails jobs that were running.",
		},
		Check: "Rehearses on a temporary copy of the SQLite files, which is only as consistent as a running server allows: " +
			"loads every row into the real tables in one transaction, compares, and rolls back. " +
			"Nothing is left behind, no row and no sequence value.",
		Returns: []ansible.Return{
			{Name: "tables", Type: "list", Doc: "One entry per table: C(table), C(file), C(rows), C(status) " +
				"(C(loaded), C(kept), C(to load), or in other phases C(equal), C(changed), C(lost))."},
			{Name: "skipped_tables", Type: "list", Doc: "Tables that do not move, with the reason."},
			{Name: "rows", Type: "int", Doc: "Rows of all tables."},
			{Name: "warm", Type: "dict", Doc: "What of a C(load) was there before the stop: C(rows), and C(changed), C(added), " +
				"C(deleted) since; or C(reason), why everything was loaded after the stop."},
			{Name: "quarantined", Type: "int", Doc: "Rows put into quarantine."},
			{Name: "jobs_failed", Type: "int", Doc: "Pending and running jobs that were marked as failed."},
			{Name: "paths_rewritten", Type: "int", Doc: "Paths that were rewritten to the share."},
			{Name: "secrets", Type: "dict", Doc: "What happened to the MFA key, the JWT secret, the salt and the encrypted tokens. " +
				"Never a value."},
			{Name: "problem_counts", Type: "dict", Doc: "Problems found, by table."},
			{Name: "reports", Type: "list", Doc: "Files with complete lists, below the state folder."},
			{Name: "postgres_version", Type: "str", Doc: "Version of PostgreSQL."},
			{Name: "seconds_by_part", Type: "dict", Doc: "How long each part took."},
		},
		Example: "- name: Move the data to PostgreSQL\n  cidx.cluster.cidx_database:\n    home: /home/cidx/.cidx-server\n    phase: load",
	}, run)
}

// memoryLimit keeps the process small however large the tables are; the buffers
// that grow with rows are the ones of single rows.
const memoryLimit = 40 << 20

func run(ctx context.Context, a args, mode ansible.Mode) (ansible.Reply, error) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
	// By cluster-node.yml, or by hand, this home was added to a cluster that another
	// server was migrated to.
	if standing, err := a.Standing(); a.Phase == phaseVerify && err == nil && (standing.Node() || standing.Stray) {
		progress.Line(ctx, "  Nothing to compare: this node has no record of a load")
		return ansible.Reply{Skipped: "nothing was loaded by this node: the first node of the cluster compares what was"}, nil
	}
	r, err := newRun(ctx, a, mode)
	if err != nil {
		return ansible.Reply{}, err
	}
	defer r.close()
	switch a.Phase {
	case phaseWarm:
		err = r.loadWarm(ctx)
	case phaseVerify:
		err = r.verify(ctx)
	case phaseRollback:
		err = r.rollback(ctx)
	default:
		err = r.load(ctx)
	}
	if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%s interrupted, PostgreSQL keeps nothing of this run: %w", a.Phase, context.Cause(ctx))
	}
	return r.reply(), err
}
