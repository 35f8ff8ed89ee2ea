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

// args are described in plugins/modules/cidx_database.yml.
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

// Module is cidx_database.
func Module() ansible.Module {
	return ansible.New(ansible.Spec{Name: "cidx_database"}, run)
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
