package database

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/review"
)

// rollback writes down what the cluster has written and marks the load as given
// up, so that a later one may replace it. Rows stay where they are. A database
// that cannot be reached does not keep the standalone server from coming back.
func (r *runner) rollback(ctx context.Context) error {
	if !r.mode.Check {
		if err := os.RemoveAll(r.State.Warm()); err != nil {
			return fmt.Errorf("remove the copies of a warm load: %w", err)
		}
	}
	m, err := r.ourMarker(ctx)
	if err == nil && m != nil {
		err = r.openLoaded(ctx, m)
	}
	if r.Session == nil && err != nil && ctx.Err() == nil {
		return r.unreached(err)
	}
	if err != nil {
		return err
	}
	if !r.mode.Check {
		if r.out.Changed, err = r.terms().GiveUp(ctx, r.Session, r.Notes); err != nil {
			return r.Explain(err)
		}
	}
	switch {
	case m == nil:
		r.out.Skipped = "no data was loaded into this database"
		return r.noteRollback(home.DatabaseRolledBack, "")
	case m.RolledBack != "":
		r.out.Skipped = "the load was marked as given up at " + m.RolledBack
		return r.noteRollback(home.DatabaseRolledBack, m.Source)
	}
	list, err := review.Tables(ctx, r.engine(), m.Tables, true)
	if err := errors.Join(r.Explain(err), r.Lists.Save()); err != nil {
		return err
	}
	sum := r.summarize(list)
	r.out.Changed = true
	r.out.Msg = fmt.Sprintf("the cluster has changed %s rows, added %s and deleted %s since the load; "+
		"they are not in the standalone server",
		human.Number(sum.Changed), human.Number(sum.Added), human.Number(sum.Lost))
	if sum.Changed+sum.Added+sum.Lost == 0 {
		r.out.Msg = "the cluster has written nothing into the loaded tables"
	} else if len(r.Lists.Files) > 0 {
		r.out.Hint = "see " + load.Head(r.Lists.Files, 3)
	}
	if r.mode.Check {
		return nil
	}
	return r.Explain(r.giveUp(ctx, m, list))
}

// unreached lets the standalone server come back without PostgreSQL.
func (r *runner) unreached(err error) error {
	r.Warnings.Add("PostgreSQL was not asked what the cluster has written (%v); "+
		"run the rollback again when it is back, otherwise a later migration will stop", err)
	r.out.Data["reachable"] = false
	r.out.Msg = "PostgreSQL cannot be reached; its data is left as it is"
	return r.noteRollback(home.DatabaseUnreached, "")
}

// giveUp marks the load.
func (r *runner) giveUp(ctx context.Context, m *loaded.Marker, list []*review.Table) error {
	now := map[string]load.Mark{}
	for _, v := range list {
		now[v.Table] = v.Mark()
	}
	if err := m.GiveUp(ctx, r.Session, now); err != nil {
		return err
	}
	if record, err := readRecord(r.State); err == nil {
		record.RolledBack = load.StampText(time.Now())
		if err := writeRecord(r.State, record); err != nil {
			return err
		}
	}
	return r.noteRollback(home.DatabaseRolledBack, m.Source)
}

// noteRollback keeps in the journal whether PostgreSQL knows of the rollback,
// where the journal does not say so already.
func (s *settings) noteRollback(event, source string) error {
	if s.mode.Check {
		return nil
	}
	standing, err := s.args.Standing()
	known := !standing.Loaded
	if event == home.DatabaseUnreached {
		known = standing.Loaded && standing.Source == ""
	}
	if err != nil || known {
		return err
	}
	var data map[string]any
	if source != "" {
		data = map[string]any{"source_id": source}
	}
	return journal.Append(s.State.Journal(), home.DatabaseModule, event, data)
}
