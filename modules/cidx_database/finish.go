package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// finish does what follows the commit. Nothing of it can undo the load, and all
// of it is done again by the next run if this one does not get that far.
func (r *runner) finish(ctx context.Context) error {
	r.out.Changed = true
	r.out.Msg = human.Count(r.total(), "row", "rows") + " of " + human.Count(r.loaded(), "table", "tables") + " in PostgreSQL, every value compared"
	if err := r.analyze(ctx); err != nil {
		r.warnings.add("ANALYZE did not run (%v); autovacuum will do it later", r.explain(err))
	}
	r.clock.lap("analyze")
	m := &marker{Source: r.source.id, Home: r.args.Home, Host: hostName(), Started: r.moment, Tables: r.marks()}
	if err := r.keepRecord(m); err != nil {
		return err
	}
	return r.finds.save()
}

// analyze gathers the planner's statistics. Large tables are left to autovacuum
// where it runs: it comes within a minute, and sampling them would take a tenth
// of the whole load.
func (r *runner) analyze(ctx context.Context) error {
	rows, err := postgres.Rows(ctx, r.conn, "SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool")
	if err != nil {
		return err
	}
	automatic := string(rows[0][0]) == "t"
	var names []string
	for _, t := range r.plan.tables {
		if t.conn != nil && t.to.Owned && !(t.large && automatic) && (t.delta == nil || t.delta.changed() > 0) {
			names = append(names, t.to.Qualified())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return postgres.Run(ctx, r.conn, "ANALYZE "+strings.Join(names, ", "))
}

// keepRecord writes what a later run of this node wants to know: the salt file
// if the tokens need one, database.json, and a line in the journal.
func (r *runner) keepRecord(m *marker) error {
	if err := (warmer{r}).removeWarm(); err != nil {
		r.warnings.add("the copies of the databases that the warm load was made from are still there (%v); remove %s", err, r.state.Warm())
	}
	if err := r.createSalt(); err != nil {
		return err
	}
	if exists(r.state.Database()) {
		old, err := os.ReadFile(r.state.Database())
		var before marker
		if err == nil && json.Unmarshal(old, &before) == nil && before.Source == m.Source && before.RolledBack == m.RolledBack && before.Started.Equal(m.Started) {
			return nil
		}
	}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	if err := durable.MakeFolder(filepath.Dir(r.state.Database())); err != nil {
		return err
	}
	if err := durable.Write(r.state.Database(), append(raw, '\n'), nil); err != nil {
		return err
	}
	return journal.Append(r.state.Journal(), cidx.DatabaseModule, cidx.DatabaseLoaded, map[string]any{"source_id": m.Source, "tables": len(m.Tables), "rows": sumRows(m.Tables)})
}

func sumRows(marks map[string]tableMark) int64 {
	var n int64
	for _, m := range marks {
		n += m.Rows
	}
	return n
}

// createSalt writes the salt file with the text under which the tokens decrypt.
// It belongs to the owner of the home, and is never overwritten.
func (r *runner) createSalt() error {
	if r.secrets == nil || r.secrets.createSalt == "" {
		return nil
	}
	path := filepath.Join(r.args.Home, saltFile)
	// The cut-over proves that nobody has written here since the backup but us.
	sum := sha256.Sum256([]byte(r.secrets.createSalt))
	if err := journal.Append(r.state.Journal(), cidx.DatabaseModule, cidx.SaltMade, map[string]any{"sha256": hex.EncodeToString(sum[:])}); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return problem.Problem{What: "create salt file: " + err.Error(), At: path, Fix: "make the folder writable, then run again"}
	}
	_, err = f.WriteString(r.secrets.createSalt)
	if syncing := f.Sync(); err == nil {
		err = syncing
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = durable.OwnAs(path, r.args.Home)
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("create salt file: %w", err)
	}
	r.out.Changed = true
	return nil
}

func (r *runner) total() int64 {
	var n int64
	for _, t := range r.plan.tables {
		if t.conn != nil {
			n += t.rows
		}
	}
	return n
}

func (r *runner) loaded() int {
	n := 0
	for _, t := range r.plan.tables {
		if t.conn != nil {
			n++
		}
	}
	return n
}

// count adds up what a reader has changed.
func (r *runner) count(t tally) {
	r.changes.jobs += t.jobs
	r.changes.paths += t.paths
	r.changes.nulls += t.nulls
}
