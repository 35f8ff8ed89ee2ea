package database

import (
	"context"
	"fmt"
	"os"

	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/problem"
)

// alreadyLoaded reports whether the target holds this server's data. Then
// nothing is to be done: what the cluster has written since is newer.
func (r *runner) alreadyLoaded(ctx context.Context) (bool, error) {
	m, err := loaded.Latest(ctx, r.Conn)
	if err != nil {
		return false, r.Explain(err)
	}
	r.held.marker = m
	if m == nil || m.RolledBack != "" {
		return false, nil
	}
	if err := r.foreign(m); m.Source != r.source.ID() && err != nil {
		return false, err
	}
	// The rows themselves are compared: a database in WAL mode whose log was folded
	// in may have the header and size that it had before.
	if err := r.makePlan(m.Started); err != nil {
		return false, err
	}
	same, err := r.same(ctx, m)
	if err != nil {
		return false, err
	}
	if !same {
		standing, err := r.args.Standing()
		if err != nil {
			return false, err
		}
		if !standing.Used && standing.Source == m.Source {
			// An earlier run of this migration ended before the cut-over: no server has
			// worked on its load, and what was written since is loaded in its place.
			m.RolledBack, m.Last, r.held.replaces = m.Committed, m.Tables, m.Source
			return false, nil
		}
		return false, problem.Problem{At: r.Where,
			What: "the standalone server has gone on after it was migrated at " + m.Committed + "; PostgreSQL holds the older state",
			Fix:  "run cluster-rollback.yml, which marks that migration as given up, then migrate again"}
	}
	r.out.Skipped = "the data was loaded at " + m.Committed + "; PostgreSQL is left as it is, with all that the cluster has written since"
	r.listMarks(m, "loaded before")
	if r.mode.Check {
		return true, nil
	}
	return true, r.keepRecord(m)
}

// foreign is the problem of a marker of another server, or nil.
func (w *work) foreign(m *loaded.Marker) error {
	if m.Home == w.Home && m.Host == hostName() {
		return nil
	}
	return problem.Problem{What: fmt.Sprintf("this database holds the data of another server: %s on %s, migrated %s",
		m.Home, m.Host, m.Committed),
		At: w.Where, Fix: "name the right database in postgres_dsn; a cluster is seeded from one server only"}
}

// same compares the rows of the source with those of an earlier load.
func (w *work) same(ctx context.Context, m *loaded.Marker) (bool, error) {
	for _, t := range w.plan.Tables {
		mark, loaded := m.Tables[t.Name]
		if loaded != (t.Conn != nil) {
			return false, nil
		}
		if !loaded {
			continue
		}
		sum, err := t.SourceSum(ctx, mark.Left, w.Meter)
		if err != nil {
			return false, err
		}
		if want, err := mark.Sum(); err != nil || sum != want {
			return false, err
		}
	}
	return true, nil
}

func hostName() string {
	name, _ := os.Hostname() // of a host without a name "" is as good
	return name
}
