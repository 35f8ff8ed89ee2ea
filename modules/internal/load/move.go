package load

import (
	"context"

	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
)

// Load is a load that is to be done.
type Load struct {
	Work
	Steps      func(*Passage) []Step // of each passage
	Trial      bool                  // only to see that it can be done
	Quarantine bool                  // rows that are refused are left out, and go to a file
}

// Outcome is what came of it.
type Outcome struct {
	Tables      Transfers // of the last passage
	Finds       Finds     // rows that are refused
	Quarantined int64
}

// Move carries the rows over for good, or in a rehearsal only to see that it can
// be done: the same passage, with another end. Where something is refused, one
// more, which is rolled back, names everything that is; rows go to quarantine if
// the operator wants that.
func (o Load) Move(ctx context.Context) (out Outcome, err error) {
	carry := func(p *Passage) error {
		p.Trial, out.Tables = o.Trial, p.Every
		return o.Explain(p.Run(ctx, o.Steps(p)))
	}
	pass := o.Passage()
	if err = carry(pass); !pass.Refused {
		return out, err
	}
	if !o.Trial {
		progress.Line(ctx, "  Rolled back; looking for everything that does not fit...")
	}
	out, problems := o.Name(ctx)
	switch {
	case len(problems) == 0 && out.Finds.Total() == 0:
		return out, err // what is refused is refused for no single row
	case len(problems) > 0 || !o.Quarantine:
		return out, append(problems, out.Finds.List(&o.Lists)...).Err()
	}
	pass = o.Passage()
	for i, t := range pass.Every {
		t.Left = out.Tables[i].Left
	}
	if !o.Trial {
		out.Quarantined = pass.Every.Totals().Left
		if err := o.writeQuarantine(ctx, pass.Every, out.Quarantined); err != nil {
			return out, err
		}
	}
	return out, carry(pass)
}

// Name names everything that is refused, by a rehearsal of the whole load.
func (o Load) Name(ctx context.Context) (Outcome, problem.List) {
	p := o.Passage()
	p.Trial, p.All = true, true
	problems := problem.Of(o.Explain(p.Run(ctx, o.Steps(p))))
	return Outcome{Tables: p.Every, Finds: p.Finds}, append(problems, p.found.list(p.Session)...)
}
