package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/postgres"
)

// rollback writes down what the cluster has written and marks the load as given
// up, so that a later one may replace it. Rows stay where they are. A database
// that cannot be reached does not keep the standalone server from coming back.
func (r *runner) rollback(ctx context.Context) error {
	if !r.mode.Check {
		if err := os.RemoveAll(r.state.Warm()); err != nil {
			return fmt.Errorf("remove the copies of a warm load: %w", err)
		}
	}
	m, err := r.ourMarker(ctx)
	if err == nil && m != nil {
		err = r.openLoaded(ctx, m)
	}
	if r.session == nil && err != nil && ctx.Err() == nil {
		return r.unreached(err)
	}
	if err != nil {
		return err
	}
	if !r.mode.Check {
		if r.out.Changed, err = giveUpWarm(ctx, r.session, r.notes); err != nil {
			return r.explain(err)
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
	list, err := r.reviewTables(ctx, m, true)
	if err := errors.Join(r.explain(err), r.lists.save()); err != nil {
		return err
	}
	changed, added, lost := r.summarize(list)
	r.out.Changed = true
	r.out.Msg = fmt.Sprintf("the cluster has changed %s rows, added %s and deleted %s since the load; "+
		"they are not in the standalone server",
		human.Number(changed), human.Number(added), human.Number(lost))
	if changed+added+lost == 0 {
		r.out.Msg = "the cluster has written nothing into the loaded tables"
	} else if len(r.lists.files) > 0 {
		r.out.Hint = "see " + head(r.lists.files, 3)
	}
	if r.mode.Check {
		return nil
	}
	return r.explain(r.giveUp(ctx, m, list))
}

// unreached lets the standalone server come back without PostgreSQL.
func (r *runner) unreached(err error) error {
	r.warnings.add("PostgreSQL was not asked what the cluster has written (%v); "+
		"run the rollback again when it is back, otherwise a later migration will stop", err)
	r.out.Data["reachable"] = false
	r.out.Msg = "PostgreSQL cannot be reached; its data is left as it is"
	return r.noteRollback(home.DatabaseUnreached, "")
}

// giveUp marks the load.
func (r *runner) giveUp(ctx context.Context, m *marker, list []*review) error {
	now := map[string]tableMark{}
	for _, v := range list {
		now[v.Table] = tableMark{Rows: v.sum.Rows, Digest: v.sum.String()}
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("mark the load as given up: %w", err)
	}
	_, err = postgres.Rows(ctx, r.conn, "UPDATE "+r.table(markerTable)+
		" SET rolled_back_at = clock_timestamp(), rolled_back = $2 WHERE source_id = $1", m.Source, string(raw))
	if err != nil {
		return fmt.Errorf("mark the load as given up: %w", err)
	}
	if record, err := readRecord(r.state); err == nil {
		record.RolledBack = load.StampText(time.Now())
		if err := writeRecord(r.state, record); err != nil {
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
	return journal.Append(s.state.Journal(), home.DatabaseModule, event, data)
}
