package database

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// passage is the transaction that carries the rows of a snapshot over: prepare,
// copy, indexes, compare, and how it ends. An error leaves PostgreSQL as it was.
type passage struct {
	work
	end     func(*passage, context.Context) error // the last step: commits, or does not
	trial   bool                                  // end takes everything back: the server may run meanwhile
	all     bool                                  // goes on after a refusal, to name all of them
	refused bool                                  // what run returned is a refusal; there may be more
	every   transfers                             // of the plan
	tables  transfers                             // that take part
	rebuild *postgres.Rebuild                     // what was dropped for the time of the copy
	late    []string                              // statements that no rollback takes back
	stored  storedKeys
	found   refusals
	finds   finds
}

// passage is one that commits.
func (w work) passage() *passage {
	p := &passage{work: w, end: (*passage).commit, every: w.plan.transfers()}
	for _, t := range p.every {
		if !t.unfit {
			p.tables = append(p.tables, t)
		}
	}
	return p
}

// move carries the rows over for good, or in a rehearsal only to see that it can
// be done: the same passage, with another end. Where something is refused, one
// more, which is rolled back, names everything that is; rows go to quarantine if
// the operator wants that.
func (r *runner) move(ctx context.Context) error {
	begin := work.passage
	if r.mode.Check {
		begin = work.rehearsal
	}
	pass := begin(r.work)
	err := r.carry(ctx, pass)
	if !pass.refused {
		return err
	}
	if !r.mode.Check {
		progress.Line(ctx, "  Rolled back; looking for everything that does not fit...")
	}
	problems := r.name(ctx)
	switch {
	case len(problems) == 0 && r.finds.total() == 0:
		return err // what is refused is refused for no single row
	case len(problems) > 0 || !r.args.Quarantine:
		return append(problems, r.finds.list(&r.lists)...).Err()
	}
	pass = begin(r.work)
	for i, t := range pass.every {
		t.left = r.done[i].left
	}
	if !r.mode.Check {
		if err := r.writeQuarantine(ctx, pass.every); err != nil {
			return err
		}
	}
	return r.carry(ctx, pass)
}

// carry does a passage, and keeps what came of it.
func (r *runner) carry(ctx context.Context, p *passage) error {
	err := r.explain(p.run(ctx, p.steps()))
	r.done, r.kept = p.every, p.stored
	return err
}

// name names everything that is refused, by a rehearsal of the whole load.
func (r *runner) name(ctx context.Context) problem.List {
	p := r.rehearsal()
	p.all = true
	problems := problem.Of(r.carry(ctx, p))
	r.finds = p.finds
	return append(problems, p.found.list(p.session)...)
}

// run begins, and rolls back what does not get to the end of the steps.
func (p *passage) run(ctx context.Context, steps []step) error {
	p.lists.rewind(clusterWrites) // an earlier passage has found them as well
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.walk(ctx, steps); err != nil {
		if rollback := postgres.Run(context.WithoutCancel(ctx), p.conn, "ROLLBACK"); rollback != nil &&
			!postgres.Lost(rollback) && !p.conn.IsClosed() {
			return errors.Join(err, fmt.Errorf("roll back: %w", rollback))
		}
		if postgres.Code(err) == "55P03" {
			return p.blocked(ctx, err)
		}
		return err
	}
	return nil
}

// step is a part of the work between BEGIN and the end. What a named one is
// refused is a fault of the data or of the target, of which there may be more.
type step struct {
	part  string // under which the time is booked
	named bool
	do    func(*passage, context.Context) error
}

func (p *passage) steps() []step {
	return []step{
		{"lock", true, (*passage).standIn},
		{"lock", true, (*passage).lockTables},
		{"lock", true, (*passage).clearTarget},
		{"lock", true, (*passage).dropIndexes},
		{"copy", true, (*passage).copyTables},
		{"copy", true, (*passage).runDeferred}, // what waits for the commit keeps tables from being altered, too
		{"indexes", true, (*passage).rebuildIndexes},
		{"indexes", true, (*passage).storeSecrets},
		{"indexes", true, (*passage).setSequences},
		{"verify", false, (*passage).sourceUnchanged},
		{"verify", true, (*passage).forgetWarmth},
		{"verify", true, (*passage).writeMarker},
		{"verify", true, (*passage).runDeferred},
		{"verify", true, (*passage).compare},
		{"verify", true, (*passage).compareSecrets},
		{"commit", false, (*passage).alone},
		{"commit", true, (*passage).seal},
		{"commit", false, p.end},
	}
}

func (p *passage) walk(ctx context.Context, steps []step) error {
	for _, step := range steps {
		do := func() error { return step.do(p, ctx) }
		var err error
		if step.named {
			err = p.try(ctx, nil, do)
		} else {
			err = do()
		}
		p.clock.lap(step.part)
		if err != nil {
			p.refused = step.named && refusal(err)
			return err
		}
	}
	return nil
}

// try does something that may be refused, for a table or for all. Where every
// refusal is to be named, it is noted, and the rest goes on.
func (p *passage) try(ctx context.Context, t *transfer, do func() error) error {
	if !p.all {
		return do()
	}
	err := p.within(ctx, do)
	if err == nil || !refusal(err) {
		return err
	}
	p.found.note(p.session, t, err)
	if t != nil {
		p.leave(t)
	}
	return nil
}

// each does something for every table that takes part, in the order of tables.
func (p *passage) each(ctx context.Context, tables transfers, do func(*transfer) error) error {
	for _, t := range slices.Clone(tables) {
		if !slices.Contains(p.tables, t) {
			continue
		}
		if err := p.try(ctx, t, func() error { return do(t) }); err != nil {
			return err
		}
	}
	return nil
}

// leave goes on without a table, and without those whose rows need it.
func (p *passage) leave(t *transfer) {
	p.tables = slices.DeleteFunc(slices.Clone(p.tables), func(other *transfer) bool { return other == t })
	for _, child := range p.tables {
		if slices.ContainsFunc(child.To.ForeignKeys, func(f postgres.ForeignKey) bool { return f.Table == t.Name }) {
			p.leave(child)
		}
	}
}

// sourceUnchanged is an error if something wrote to the copies meanwhile.
func (p *passage) sourceUnchanged(context.Context) error { return p.source.unchanged() }

// tell says something in the transcript, unless all is only tried.
func (p *passage) tell(ctx context.Context, format string, args ...any) {
	if !p.trial {
		progress.Line(ctx, format, args...)
	}
}
