package database

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/keyring"
	"cidx-cluster/modules/internal/loaded"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/regular"
)

// finish does what follows the commit. Nothing of it can undo the load, and all
// of it is done again by the next run if this one does not get that far.
func (r *runner) finish(ctx context.Context) error {
	r.out.Changed = true
	sum := r.loaded.Tables.Totals()
	r.out.Msg = human.Count(sum.Rows, "row", "rows") + " of " + human.Count(sum.Tables, "table", "tables") +
		" in PostgreSQL, every value compared"
	r.analyze(ctx)
	if err := r.keepRecord(r.marker(r.loaded.Tables)); err != nil {
		return err
	}
	return r.Lists.Save()
}

// analyze gathers the planner's statistics of what was loaded.
func (r *runner) analyze(ctx context.Context) {
	if err := r.Analyze(ctx, r.loaded.Tables); err != nil {
		r.Warnings.Add("ANALYZE did not run (%v); autovacuum will do it later", r.Explain(err))
	}
	r.Clock.Lap("analyze")
}

// keepRecord writes what a later run of this node wants to know: the salt file
// if the tokens need one, database.json, and a line in the journal.
func (r *runner) keepRecord(m *loaded.Marker) error {
	if err := os.RemoveAll(r.State.Warm()); err != nil {
		r.Warnings.Add("the copies of the databases that the warm load was made from are still there (%v); remove %s",
			err, r.State.Warm())
	}
	if salt, _ := r.trial.SaltToCreate(); salt != "" {
		made, err := createSalt(r.settings, salt)
		if err != nil {
			return err
		}
		r.out.Changed = r.out.Changed || made
	}
	before, err := readRecord(r.State)
	if err == nil && before.Source == m.Source && before.RolledBack == m.RolledBack && before.Started.Equal(m.Started) {
		return nil
	}
	if err := writeRecord(r.State, m); err != nil {
		return err
	}
	return journal.Append(r.State.Journal(), home.DatabaseModule, home.DatabaseLoaded,
		map[string]any{"source_id": m.Source, "tables": len(m.Tables), "rows": m.Rows()})
}

// readRecord reads database.json.
func readRecord(state home.State) (m *loaded.Marker, err error) {
	raw, err := regular.Read(state.Database())
	if err == nil {
		m = &loaded.Marker{}
		err = json.Unmarshal(raw, m)
	}
	return m, err
}

func writeRecord(state home.State, m *loaded.Marker) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("record what is loaded: %w", err)
	}
	if err := durable.MakeFolder(filepath.Dir(state.Database())); err != nil {
		return err
	}
	return durable.Write(state.Database(), append(raw, '\n'), nil)
}

// createSalt writes the salt file with the text under which the tokens decrypt.
// It belongs to the owner of the home, and is never overwritten.
func createSalt(set *settings, text string) (made bool, err error) {
	path := filepath.Join(set.Home, keyring.SaltFile)
	// The cut-over proves that nobody has written here since the backup but us.
	sum := sha256.Sum256([]byte(text))
	if err := journal.Append(set.State.Journal(), home.DatabaseModule, home.SaltMade,
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
