package database

import (
	"context"
	"math"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/warm"
)

// limits are those of every load.
var limits = load.Limits{Patience: "15s", Haste: "2s", Most: 20_000}

// engine is what the row engine needs of the work.
func (w work) engine() load.Work {
	e := load.Work{Notes: w.Notes, Session: w.Session, Plan: w.plan.Tables, Limits: limits, Online: w.args.Phase == phaseWarm}
	if w.args.Quarantine { // every row must be known
		e.Most = math.MaxInt64
	}
	if w.held.rolledBack() {
		e.GivenUp, e.Last = true, w.held.marker.Last
	}
	if w.held.warm.Record != nil {
		e.Own = w.held.warm.Own
	}
	return e
}

// order is the load of everything.
func (r *runner) order() load.Load {
	return load.Load{Work: r.engine(), Steps: r.steps, Trial: r.mode.Check, Quarantine: r.args.Quarantine}
}

// steps are those of a load of everything, or of its rehearsal.
func (r *runner) steps(*load.Passage) []load.Step {
	r.stored = r.keys.Stored()
	return []load.Step{
		{Part: "lock", Do: running(r.admit)},
		{Part: "lock", Named: true, Do: (*load.Passage).StandIn},
		{Part: "lock", Named: true, Do: (*load.Passage).LockTables},
		{Part: "lock", Named: true, Do: (*load.Passage).ClearTarget},
		{Part: "lock", Named: true, Do: tellFirstStart},
		{Part: "lock", Named: true, Do: (*load.Passage).DropIndexes},
		{Part: "copy", Named: true, Do: (*load.Passage).CopyTables},
		// What waits for the commit keeps tables from being altered, too.
		{Part: "copy", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "indexes", Named: true, Do: (*load.Passage).RebuildIndexes},
		{Part: "indexes", Named: true, Do: r.stored.Store},
		{Part: "indexes", Named: true, Do: (*load.Passage).SetSequences},
		{Part: "verify", Do: r.sourceUnchanged},
		{Part: "verify", Named: true, Do: r.terms().Forget},
		{Part: "verify", Named: true, Do: r.writeMarker},
		{Part: "verify", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "verify", Named: true, Do: (*load.Passage).Compare},
		{Part: "verify", Named: true, Do: r.stored.Prove},
		{Part: "commit", Do: running(r.alone)},
		{Part: "commit", Named: true, Do: (*load.Passage).Seal},
		{Part: "commit", Do: running(r.stillStopped)},
		{Part: "commit", Do: (*load.Passage).End},
	}
}

// warmSteps are those of a load while the server runs.
func (r *runner) warmSteps(w *warm.Warming) []load.Step {
	return []load.Step{
		{Part: "lock", Do: r.admit},
		{Part: "lock", Named: true, Do: (*load.Passage).LockTables},
		{Part: "lock", Named: true, Do: w.Clear},
		{Part: "lock", Named: true, Do: tellFirstStart},
		{Part: "lock", Named: true, Do: (*load.Passage).DropIndexes},
		{Part: "copy", Named: true, Do: (*load.Passage).CopyTables},
		{Part: "copy", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "indexes", Named: true, Do: (*load.Passage).RebuildIndexes},
		{Part: "verify", Do: r.sourceUnchanged},
		{Part: "verify", Named: true, Do: w.Keep},
		{Part: "verify", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "verify", Named: true, Do: (*load.Passage).Compare},
		{Part: "commit", Do: r.alone},
		{Part: "commit", Named: true, Do: (*load.Passage).Seal},
		{Part: "commit", Do: r.stillStopped},
		{Part: "commit", Do: (*load.Passage).End},
	}
}

// deltaSteps are those of a load that builds upon one before the stop.
func (r *runner) deltaSteps(c *warm.CatchUp) []load.Step {
	r.stored = r.keys.Stored()
	return []load.Step{
		{Part: "lock", Do: r.admit},
		{Part: "lock", Do: (*load.Passage).LockTables},
		{Part: "copy", Do: c.Doubted(c.Apply)},
		{Part: "copy", Do: c.Whole((*load.Passage).ClearTarget)},
		{Part: "copy", Do: c.Doubted(tellFirstStart)},
		{Part: "copy", Do: c.Whole((*load.Passage).DropIndexes)},
		{Part: "copy", Do: c.Whole((*load.Passage).CopyTables)},
		{Part: "copy", Do: c.Doubted((*load.Passage).RunDeferred)},
		{Part: "indexes", Do: c.Doubted((*load.Passage).RebuildIndexes)},
		{Part: "indexes", Do: r.stored.Store},
		{Part: "indexes", Do: (*load.Passage).SetSequences},
		{Part: "verify", Do: r.sourceUnchanged},
		{Part: "verify", Do: r.terms().Forget},
		{Part: "verify", Do: r.writeMarker},
		{Part: "verify", Do: c.Doubted((*load.Passage).RunDeferred)},
		{Part: "verify", Do: c.Doubted((*load.Passage).Compare)},
		{Part: "verify", Do: r.stored.Prove},
		{Part: "verify", Do: func(*load.Passage, context.Context) error { return r.checked() }},
		{Part: "commit", Do: r.alone},
		{Part: "commit", Do: c.Doubted((*load.Passage).Seal)},
		{Part: "commit", Do: r.stillStopped},
		{Part: "commit", Do: (*load.Passage).End},
	}
}

// running is a step that a rehearsal leaves out: cidx_precheck has looked.
func running(do func(*load.Passage, context.Context) error) func(*load.Passage, context.Context) error {
	return func(p *load.Passage, ctx context.Context) error {
		if p.Trial {
			return nil
		}
		return do(p, ctx)
	}
}

// admit makes sure, before anything is written, that nobody else works on the
// database, and that no other run has loaded it while we waited for the lock.
func (r *runner) admit(p *load.Passage, ctx context.Context) error {
	if err := r.alone(p, ctx); err != nil {
		return err
	}
	// First: a server that was started here beats under this node's id as well.
	if err := r.stillStopped(p, ctx); err != nil {
		return err
	}
	if err := nodes.Twin(ctx, p.Conn, r.Config.NodeID, p.Where); err != nil {
		return err
	}
	m, err := loaded.Latest(ctx, p.Conn)
	if err != nil {
		return err
	}
	if m != nil && m.RolledBack == "" && m.Source != r.held.replaces && (r.held.marker == nil || r.held.rolledBack()) {
		return problem.Problem{What: "another run has just finished the load", At: p.Where, Fix: "run again"}
	}
	return nil
}

// alone makes sure that no other node of the cluster works on the database.
func (r *runner) alone(p *load.Passage, ctx context.Context) error {
	return nodes.Alone(ctx, p.Conn, r.Config.NodeID, p.Where)
}

// stillStopped makes sure that nothing has started the server meanwhile.
func (r *runner) stillStopped(_ *load.Passage, ctx context.Context) error {
	return service.StillStopped(ctx, r.args.Common)
}

// sourceUnchanged is an error if something wrote to the copies meanwhile.
func (r *runner) sourceUnchanged(*load.Passage, context.Context) error { return r.source.Unchanged() }

// writeMarker records the load, in its own transaction.
func (r *runner) writeMarker(p *load.Passage, ctx context.Context) error {
	m := r.marker(p.Every)
	m.Helper = ansible.Build
	return loaded.Write(ctx, p.Session, m)
}

// marker is that of this load.
func (r *runner) marker(tables load.Transfers) *loaded.Marker {
	return &loaded.Marker{Source: r.source.ID(), Home: r.Home, Host: hostName(), Started: r.moment, Tables: tables.Marks()}
}
