package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/problem"
)

// finish does what follows the commit. Nothing of it can undo the load, and all
// of it is done again by the next run if this one does not get that far.
func (r *runner) finish(ctx context.Context) error {
	r.out.Changed = true
	sum := r.done.totals()
	r.out.Msg = human.Count(sum.rows, "row", "rows") + " of " + human.Count(sum.tables, "table", "tables") +
		" in PostgreSQL, every value compared"
	r.analyze(ctx)
	m := &marker{Source: r.source.id, Home: r.args.Home, Host: hostName(), Started: r.moment, Tables: r.done.marks()}
	if err := r.keepRecord(m); err != nil {
		return err
	}
	return r.lists.save()
}

// analyze gathers the planner's statistics of what was loaded.
func (r *runner) analyze(ctx context.Context) {
	if err := r.session.analyze(ctx, r.done); err != nil {
		r.warnings.add("ANALYZE did not run (%v); autovacuum will do it later", r.explain(err))
	}
	r.clock.lap("analyze")
}

// analyze leaves large tables to autovacuum where it runs: it comes within a
// minute, and sampling them would take a tenth of the whole load.
func (s *session) analyze(ctx context.Context, tables transfers) error {
	rows, err := postgres.Rows(ctx, s.conn, "SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool")
	if err != nil {
		return err
	}
	automatic := string(rows[0][0]) == "t"
	var names []string
	for _, t := range tables {
		if t.Conn != nil && t.To.Owned && !(t.large && automatic) && (t.delta == nil || t.delta.changed() > 0) {
			names = append(names, t.To.Qualified())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return postgres.Run(ctx, s.conn, "ANALYZE "+strings.Join(names, ", "))
}

// keepRecord writes what a later run of this node wants to know: the salt file
// if the tokens need one, database.json, and a line in the journal.
func (r *runner) keepRecord(m *marker) error {
	if err := os.RemoveAll(r.state.Warm()); err != nil {
		r.warnings.add("the copies of the databases that the warm load was made from are still there (%v); remove %s",
			err, r.state.Warm())
	}
	if salt := r.trial.saltToCreate(); salt != "" {
		made, err := createSalt(r.settings, salt)
		if err != nil {
			return err
		}
		r.out.Changed = r.out.Changed || made
	}
	before, err := readRecord(r.state)
	if err == nil && before.Source == m.Source && before.RolledBack == m.RolledBack && before.Started.Equal(m.Started) {
		return nil
	}
	if err := writeRecord(r.state, m); err != nil {
		return err
	}
	return journal.Append(r.state.Journal(), home.DatabaseModule, home.DatabaseLoaded,
		map[string]any{"source_id": m.Source, "tables": len(m.Tables), "rows": sumRows(m.Tables)})
}

// readRecord reads database.json.
func readRecord(state home.State) (m *marker, err error) {
	raw, err := os.ReadFile(state.Database())
	if err == nil {
		m = &marker{}
		err = json.Unmarshal(raw, m)
	}
	return m, err
}

func writeRecord(state home.State, m *marker) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	if err := durable.MakeFolder(filepath.Dir(state.Database())); err != nil {
		return err
	}
	return durable.Write(state.Database(), append(raw, '\n'), nil)
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
func createSalt(set *settings, text string) (made bool, err error) {
	path := filepath.Join(set.args.Home, saltFile)
	// The cut-over proves that nobody has written here since the backup but us.
	sum := sha256.Sum256([]byte(text))
	if err := journal.Append(set.state.Journal(), home.DatabaseModule, home.SaltMade,
		map[string]any{"sha256": hex.EncodeToString(sum[:])}); err != nil {
		return false, err
	}
	if there, err := durable.Exists(path); there || err != nil {
		return false, err
	}
	if err := durable.Write(path, []byte(text), nil); err != nil {
		return false, problem.Problem{What: "create salt file: " + err.Error(), At: path, Fix: "make the folder writable, then run again"}
	}
	return true, nil
}
