// Package results keeps what scenarios showed from one run to the next, so that
// the page of docs/ that is made of all of them can be made in pieces.
package results

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
)

// Table is what the scenarios of one page have shown on this machine.
type Table[Row any] struct {
	Kept  string // file with the rows, JSON by name
	Page  string // file of the page, which Record writes only with LAB_DOC in the environment
	Write func(map[string]Row) string
}

var recording sync.Mutex

// Record keeps a row with those of earlier runs, in the place of an earlier one
// of that name, and with LAB_DOC=1 writes the page anew. Scenarios of one
// process may record at once.
func (t Table[Row]) Record(name string, row Row) error {
	recording.Lock()
	defer recording.Unlock()
	rows, err := t.rows()
	if err != nil {
		return err
	}
	rows[name] = row
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.Kept, text, 0o644); err != nil {
		return err
	}
	if os.Getenv("LAB_DOC") == "" {
		return nil
	}
	return os.WriteFile(t.Page, []byte(t.Write(rows)), 0o644)
}

func (t Table[Row]) rows() (map[string]Row, error) {
	rows := map[string]Row{}
	text, err := os.ReadFile(t.Kept)
	if errors.Is(err, fs.ErrNotExist) {
		return rows, nil
	}
	if err != nil {
		return nil, err
	}
	return rows, json.Unmarshal(text, &rows)
}
