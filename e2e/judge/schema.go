package judge

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
)

// What CIDX 11.79 keeps in which table, on both sides.
//
//go:embed schema.json
var schemaJSON []byte

type table struct {
	Sqlite *struct {
		Files   []string       `json:"files"`
		Columns map[string]any `json:"columns"`
	} `json:"sqlite"`
	Postgres *struct {
		Columns map[string]struct {
			Type     string `json:"type"`
			Nullable bool   `json:"nullable"`
			Sequence string `json:"identity_sequence"`
		} `json:"columns"`
		PrimaryKey []string `json:"primary_key"`
		Uniques    []struct {
			Columns []string `json:"columns"`
		} `json:"uniques"`
	} `json:"postgres"`
	Renames map[string]string `json:"renames"`
	Class   string            `json:"class"`
}

func loadSchema() (map[string]table, error) {
	var all struct {
		Tables map[string]table `json:"tables"`
	}
	if err := json.Unmarshal(schemaJSON, &all); err != nil {
		return nil, fmt.Errorf("read schema.json: %w", err)
	}
	return all.Tables, nil
}

// key answers the columns that identify a row on both sides.
func (t table) key() []string {
	if len(t.Postgres.PrimaryKey) > 0 {
		return t.Postgres.PrimaryKey
	}
	return t.Postgres.Uniques[0].Columns
}

// copied answers class "copy" or not; true only for the two known classes.
func (t table) copied() bool { return t.Class == "copy" }

func (t table) inFile(file string) bool {
	return t.Sqlite != nil && slices.Contains(t.Sqlite.Files, file)
}

// rename answers the PostgreSQL name of a SQLite column.
func (t table) rename(column string) string {
	if to := t.Renames[column]; to != "" {
		return to
	}
	return column
}
