package load

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/progress"
)

// Work is what passages work with. It is what it is once a load begins.
type Work struct {
	*Notes
	*Session
	Plan []*Table // parents before children
	Limits
	Earlier
	Online bool // the server runs, and goes on while rows are loaded for good
}

// Limits bound how long others are waited for, and how much is looked for.
type Limits struct {
	Patience string // with locks of others: long enough for the session of a killed run to end
	Haste    string // the same while the server runs: others wait behind who waits
	Most     int64  // rows of a table that are found one by one; then the search in it ends
}

// Earlier is what earlier loads have left in the target.
type Earlier struct {
	GivenUp bool            // there is one that was given up; what it held counts no more
	Last    map[string]Mark // what the tables held then
	// Own finds out whether all that a table holds was left there to be replaced. If
	// there is more, others is the condition on the rows that are. nil: nothing was.
	Own func(ctx context.Context, w *Work, t *Transfer) (own bool, others string, err error)
}

// Passage is the transaction that carries rows over. An error leaves PostgreSQL
// as it was.
type Passage struct {
	Work
	Trial   bool      // the last step takes everything back: the server may run meanwhile
	All     bool      // goes on after a refusal, to name all of them
	Refused bool      // what Run returned is a refusal; there may be more
	Every   Transfers // of the plan
	Tables  Transfers // that take part
	Finds   Finds
	rebuild *postgres.Rebuild // what was dropped for the time of the copy
	late    []string          // statements that no rollback takes back
	found   refusals
}

// Passage is one that commits.
func (w Work) Passage() *Passage {
	p := &Passage{Work: w, Every: make(Transfers, len(w.Plan))}
	for i, t := range w.Plan {
		p.Every[i] = &Transfer{Table: t, Rows: t.Guess}
		if !t.Unfit {
			p.Tables = append(p.Tables, p.Every[i])
		}
	}
	return p
}

// Run begins, and rolls back what does not get to the end of the steps.
func (p *Passage) Run(ctx context.Context, steps []Step) error {
	p.Lists.rewind(clusterWrites) // an earlier passage has found them as well
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.walk(ctx, steps); err != nil {
		if rollback := postgres.Run(context.WithoutCancel(ctx), p.Conn, "ROLLBACK"); rollback != nil &&
			!postgres.Lost(rollback) && !p.Conn.IsClosed() {
			return errors.Join(err, fmt.Errorf("roll back: %w", rollback))
		}
		if postgres.Code(err) == "55P03" {
			return p.blocked(ctx, err)
		}
		return err
	}
	return nil
}

// Step is a part of the work between BEGIN and the end. What a named one is
// refused is a fault of the data or of the target, of which there may be more.
type Step struct {
	Part  string // under which the time is booked
	Named bool
	Do    func(*Passage, context.Context) error
}

func (p *Passage) walk(ctx context.Context, steps []Step) error {
	for _, step := range steps {
		do := func() error { return step.Do(p, ctx) }
		var err error
		if step.Named {
			err = p.try(ctx, nil, do)
		} else {
			err = do()
		}
		p.Clock.Lap(step.Part)
		if err != nil {
			p.Refused = step.Named && refusal(err)
			return err
		}
	}
	return nil
}

// try does something that may be refused, for a table or for all. Where every
// refusal is to be named, it is noted, and the rest goes on.
func (p *Passage) try(ctx context.Context, t *Transfer, do func() error) error {
	if !p.All {
		return do()
	}
	err := p.within(ctx, do)
	if err == nil || !refusal(err) {
		return err
	}
	p.found.note(p.Session, t, err)
	if t != nil {
		p.leave(t)
	}
	return nil
}

// each does something for every table that takes part, in the order of tables.
func (p *Passage) each(ctx context.Context, tables Transfers, do func(*Transfer) error) error {
	for _, t := range slices.Clone(tables) {
		if !slices.Contains(p.Tables, t) {
			continue
		}
		if err := p.try(ctx, t, func() error { return do(t) }); err != nil {
			return err
		}
	}
	return nil
}

// leave goes on without a table, and without those whose rows need it.
func (p *Passage) leave(t *Transfer) {
	p.Tables = slices.DeleteFunc(slices.Clone(p.Tables), func(other *Transfer) bool { return other == t })
	for _, child := range p.Tables {
		if slices.ContainsFunc(child.To.ForeignKeys, func(f postgres.ForeignKey) bool { return f.Table == t.Name }) {
			p.leave(child)
		}
	}
}

// tell says something in the transcript, unless all is only tried.
func (p *Passage) tell(ctx context.Context, format string, args ...any) {
	if !p.Trial {
		progress.Line(ctx, format, args...)
	}
}
