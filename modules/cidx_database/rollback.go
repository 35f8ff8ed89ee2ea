package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/postgres"
)

// rollback writes down what the cluster has written and marks the load as given
// up, so that a later one may replace it. Rows stay where they are. A database
// that cannot be reached does not keep the standalone server from coming back.
func (r *runner) rollback(ctx context.Context) error {
	if !r.mode.Check {
		if err := (warmer{r}).removeWarm(); err != nil {
			return fmt.Errorf("remove the copies of a warm load: %w", err)
		}
	}
	m, err := r.loadedState(ctx)
	if r.conn == nil && err != nil && ctx.Err() == nil {
		r.warnings.add("PostgreSQL was not asked what the cluster has written (%v); run the rollback again when it is back, otherwise a later migration will stop", err)
		r.out.Data["reachable"] = false
		r.out.Msg = "PostgreSQL cannot be reached; its data is left as it is"
		return r.noteRollback(cidx.DatabaseUnreached, "")
	}
	if err != nil {
		return err
	}
	if err := (warmer{r}).giveUpWarm(ctx); err != nil {
		return r.explain(err)
	}
	switch {
	case m == nil:
		r.out.Skipped = "no data was loaded into this database"
		return r.noteRollback(cidx.DatabaseRolledBack, "")
	case m.RolledBack != "":
		r.out.Skipped = "the load was marked as given up at " + m.RolledBack
		return r.noteRollback(cidx.DatabaseRolledBack, m.Source)
	}
	list, err := r.reviewTables(ctx, m, true)
	if err != nil {
		return errors.Join(r.explain(err), r.finds.save())
	}
	if err := r.finds.save(); err != nil {
		return err
	}
	changed, added, lost := r.summarize(list)
	r.out.Changed = true
	r.out.Msg = fmt.Sprintf("the cluster has changed %s rows, added %s and deleted %s since the load; they are not in the standalone server", human.Number(changed), human.Number(added), human.Number(lost))
	if changed+added+lost == 0 {
		r.out.Msg = "the cluster has written nothing into the loaded tables"
	} else if len(r.finds.files) > 0 {
		r.out.Hint = "see " + head(r.finds.files, 3)
	}
	if r.mode.Check {
		return nil
	}
	return r.explain(r.giveUp(ctx, m, list))
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
	_, err = postgres.Rows(ctx, r.conn, "UPDATE "+r.markerName()+" SET rolled_back_at = clock_timestamp(), rolled_back = $2 WHERE source_id = $1", m.Source, string(raw))
	if err != nil {
		return fmt.Errorf("mark the load as given up: %w", err)
	}
	m.RolledBack = stampText(time.Now())
	if old, err := os.ReadFile(r.state.Database()); err == nil {
		var record marker
		if json.Unmarshal(old, &record) == nil {
			record.RolledBack = m.RolledBack
			if text, err := json.MarshalIndent(record, "", "  "); err == nil {
				if err := durable.Write(r.state.Database(), append(text, '\n'), nil); err != nil {
					return err
				}
			}
		}
	}
	return r.noteRollback(cidx.DatabaseRolledBack, m.Source)
}

// noteRollback keeps in the journal whether PostgreSQL knows of the rollback,
// where the journal does not say so already.
func (r *runner) noteRollback(event, source string) error {
	if r.mode.Check {
		return nil
	}
	standing, err := r.args.Standing()
	known := !standing.Loaded
	if event == cidx.DatabaseUnreached {
		known = standing.Loaded && standing.Source == ""
	}
	if err != nil || known {
		return err
	}
	var data map[string]any
	if source != "" {
		data = map[string]any{"source_id": source}
	}
	return journal.Append(r.state.Journal(), cidx.DatabaseModule, event, data)
}

// sinceGivenUp reports whether a table was written after its load was given up.
func (r *runner) sinceGivenUp(ctx context.Context, t *table) (bool, error) {
	mark, known := r.marker.Last[t.Name]
	if !known {
		return true, nil
	}
	sum, err := r.targetSum(ctx, t)
	if err != nil {
		return false, err
	}
	want, err := mark.Sum()
	return err != nil || sum != want, nil
}
