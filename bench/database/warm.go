package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/bench/internal/busy"
)

// warmReply is what the helper tells of rows that were loaded before the stop.
type warmReply struct {
	Rows, Changed, Added, Deleted int64
	Reason                        string
}

// edits say how a row of the mix's tables changes, and which column names it.
var edits = map[string]struct{ change, key string }{
	"research_sessions":    {"name = name || '.'", "id"},
	"research_messages":    {"content = content || '.'", ""},
	"background_jobs":      {"result = replace(result, 'true', 'false'), progress = 99", "job_id"},
	"search_event_log":     {"query_text = query_text || '.'", ""},
	"embedding_call_stats": {"latency_ms = latency_ms + 1", ""},
}

// warmPath measures what is left after the stop: with nothing changed since the
// warm load, and with 1 % of the rows changed, added or deleted.
func (b *bench) warmPath(ctx context.Context, home string, rows, round int) error {
	for _, c := range []struct {
		name   string
		change bool
	}{{"delta-0", false}, {"delta", true}} {
		if err := os.RemoveAll(filepath.Join(home, ".cluster-migrate")); err != nil {
			return err
		}
		if err := b.cluster.fresh(ctx, "run", filepath.Base(home)); err != nil {
			return err
		}
		if _, _, err := b.phase(ctx, home, "run", "warm"); err != nil {
			return fmt.Errorf("warm load: %w", err)
		}
		if c.change {
			if err := edit(ctx, filepath.Join(home, "data/cidx_server.db"), round); err != nil {
				return err
			}
		}
		if err := b.snapshot(ctx, home); err != nil {
			return err
		}
		s, warm, err := b.phase(ctx, home, "run", "load")
		if err != nil {
			return err
		}
		if warm.Rows == 0 || c.change != (warm.Changed+warm.Added+warm.Deleted > int64(rows)/200) {
			return fmt.Errorf("the warm load did not count: %+v", warm)
		}
		s.note = fmt.Sprintf("%d rows there, %d changed, %d added, %d deleted %s",
			warm.Rows, warm.Changed, warm.Added, warm.Deleted, s.note)
		b.keep(c.name, rows, s)
	}
	return nil
}

// edit changes, adds and deletes a third of a percent of the rows each, spread
// over the tables. Parents are not deleted.
func edit(ctx context.Context, path string, round int) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=foreign_keys(0)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, m := range busy.Mix {
		e := edits[m.Table]
		columns := strings.Split(m.Columns, ",")
		for i, c := range columns {
			if c == e.key {
				columns[i] = fmt.Sprintf("%s || '-%d'", c, round)
			}
		}
		statements := []string{
			fmt.Sprintf("UPDATE %s SET %s WHERE rowid %% 300 = %d", m.Table, e.change, round),
			fmt.Sprintf("DELETE FROM %s WHERE rowid %% 300 = %d AND '%s' <> 'research_sessions'", m.Table, 100+round, m.Table),
			fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s WHERE rowid %% 300 = %d",
				m.Table, m.Columns, strings.Join(columns, ", "), m.Table, 200+round),
		}
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
	}
	return tx.Commit()
}
