package database

import (
	"context"
	"math"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/keyring"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/nodes"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/service"
	"cidx-cluster/modules/internal/warm"
)

// limits are those of every load.
var limits = load.Limits{Patience: "15s", Haste: "2s", Most: 20_000}

// crossing is what the transactions of a call do for CIDX, beside carrying rows.
type crossing struct {
	work
	stored *keyring.Stored // by the last transaction
}

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
func (c *crossing) order() load.Load {
	return load.Load{Work: c.engine(), Steps: c.steps, Trial: c.mode.Check, Quarantine: c.args.Quarantine}
}

// steps are those of a load of everything, or of its rehearsal.
func (c *crossing) steps(*load.Passage) []load.Step {
	c.stored = c.keys.Stored()
	return []load.Step{
		{Part: "lock", Do: running(c.admit)},
		{Part: "lock", Named: true, Do: (*load.Passage).StandIn},
		{Part: "lock", Named: true, Do: (*load.Passage).LockTables},
		{Part: "lock", Named: true, Do: (*load.Passage).ClearTarget},
		{Part: "lock", Named: true, Do: tellFirstStart},
		{Part: "lock", Named: true, Do: (*load.Passage).DropIndexes},
		{Part: "copy", Named: true, Do: (*load.Passage).CopyTables},
		// What waits for the commit keeps tables from being altered, too.
		{Part: "copy", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "indexes", Named: true, Do: (*load.Passage).RebuildIndexes},
		{Part: "indexes", Named: true, Do: c.stored.Store},
		{Part: "indexes", Named: true, Do: (*load.Passage).SetSequences},
		{Part: "verify", Do: c.sourceUnchanged},
		{Part: "verify", Named: true, Do: c.terms().Forget},
		{Part: "verify", Named: true, Do: c.writeMarker},
		{Part: "verify", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "verify", Named: true, Do: (*load.Passage).Compare},
		{Part: "verify", Named: true, Do: c.stored.Prove},
		{Part: "commit", Do: running(c.alone)},
		{Part: "commit", Named: true, Do: (*load.Passage).Seal},
		{Part: "commit", Do: running(c.stillStopped)},
		{Part: "commit", Do: (*load.Passage).End},
	}
}

// warmSteps are those of a load while the server runs.
func (c *crossing) warmSteps(w *warm.Warming) []load.Step {
	return []load.Step{
		{Part: "lock", Do: c.admit},
		{Part: "lock", Named: true, Do: (*load.Passage).LockTables},
		{Part: "lock", Named: true, Do: w.Clear},
		{Part: "lock", Named: true, Do: tellFirstStart},
		{Part: "lock", Named: true, Do: (*load.Passage).DropIndexes},
		{Part: "copy", Named: true, Do: (*load.Passage).CopyTables},
		{Part: "copy", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "indexes", Named: true, Do: (*load.Passage).RebuildIndexes},
		{Part: "verify", Do: c.sourceUnchanged},
		{Part: "verify", Named: true, Do: w.Keep},
		{Part: "verify", Named: true, Do: (*load.Passage).RunDeferred},
		{Part: "verify", Named: true, Do: (*load.Passage).Compare},
		{Part: "commit", Do: c.alone},
		{Part: "commit", Named: true, Do: (*load.Passage).Seal},
		{Part: "commit", Do: c.stillStopped},
		{Part: "commit", Do: (*load.Passage).End},
	}
}

// deltaSteps are those of a load that builds upon one before the stop.
func (c *crossing) deltaSteps(u *warm.CatchUp) []load.Step {
	c.stored = c.keys.Stored()
	return []load.Step{
		{Part: "lock", Do: c.admit},
		{Part: "lock", Do: (*load.Passage).LockTables},
		{Part: "copy", Do: u.Doubted(u.Apply)},
		{Part: "copy", Do: u.Whole((*load.Passage).ClearTarget)},
		{Part: "copy", Do: u.Doubted(tellFirstStart)},
		{Part: "copy", Do: u.Whole((*load.Passage).DropIndexes)},
		{Part: "copy", Do: u.Whole((*load.Passage).CopyTables)},
		{Part: "copy", Do: u.Doubted((*load.Passage).RunDeferred)},
		{Part: "indexes", Do: u.Doubted((*load.Passage).RebuildIndexes)},
		{Part: "indexes", Do: c.stored.Store},
		{Part: "indexes", Do: (*load.Passage).SetSequences},
		{Part: "verify", Do: c.sourceUnchanged},
		{Part: "verify", Do: c.terms().Forget},
		{Part: "verify", Do: c.writeMarker},
		{Part: "verify", Do: u.Doubted((*load.Passage).RunDeferred)},
		{Part: "verify", Do: u.Doubted((*load.Passage).Compare)},
		{Part: "verify", Do: c.stored.Prove},
		{Part: "verify", Do: func(*load.Passage, context.Context) error { return c.checked() }},
		{Part: "commit", Do: c.alone},
		{Part: "commit", Do: u.Doubted((*load.Passage).Seal)},
		{Part: "commit", Do: c.stillStopped},
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
func (c *crossing) admit(p *load.Passage, ctx context.Context) error {
	if err := c.alone(p, ctx); err != nil {
		return err
	}
	// First: a server that was started here beats under this node's id as well.
	if err := c.stillStopped(p, ctx); err != nil {
		return err
	}
	if err := nodes.Twin(ctx, p.Conn, c.Config.NodeID, p.Where); err != nil {
		return err
	}
	m, err := loaded.Latest(ctx, p.Conn)
	if err != nil {
		return err
	}
	if m != nil && m.RolledBack == "" && m.Source != c.held.replaces && (c.held.marker == nil || c.held.rolledBack()) {
		return problem.Problem{What: "another run has just finished the load", At: p.Where, Fix: "run again"}
	}
	return nil
}

// alone makes sure that no other node of the cluster works on the database.
func (c *crossing) alone(p *load.Passage, ctx context.Context) error {
	return nodes.Alone(ctx, p.Conn, c.Config.NodeID, p.Where)
}

// stillStopped makes sure that nothing has started the server meanwhile.
func (c *crossing) stillStopped(_ *load.Passage, ctx context.Context) error {
	return service.StillStopped(ctx, c.args.Common)
}

// sourceUnchanged is an error if something wrote to the copies meanwhile.
func (c *crossing) sourceUnchanged(*load.Passage, context.Context) error { return c.source.Unchanged() }

// writeMarker records the load, in its own transaction.
func (c *crossing) writeMarker(p *load.Passage, ctx context.Context) error {
	m := c.marker(p.Every)
	m.Helper = ansible.Build
	return loaded.Write(ctx, p.Session, m)
}

// marker is that of this load.
func (c *crossing) marker(tables load.Transfers) *loaded.Marker {
	return &loaded.Marker{Source: c.source.ID(), Home: c.Home, Host: hostName(), Started: c.moment, Tables: tables.Marks()}
}
