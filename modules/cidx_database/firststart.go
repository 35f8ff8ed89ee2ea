package database

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/sqlite"
)

// A server that starts between cluster-join.sh and the migration (a crash, a
// reboot, an update) runs on the empty PostgreSQL. The rows that it leaves there
// are recognised and replaced; what it has done to the home is told.

// tellFirstStart says that a server has run on this PostgreSQL before, and what
// that has cost.
func tellFirstStart(p *load.Passage, _ context.Context) error {
	var left []string
	started := false
	for _, t := range p.Every {
		if t.Seeded > 0 {
			left = append(left, fmt.Sprintf("%s %d", t.Name, t.Seeded))
			entry, _ := cidx.FindTable(t.Name)
			started = started || entry.Started
		}
	}
	if !started { // groups and the like can be there without one
		return nil
	}
	p.Warnings.Add("a server has started on this PostgreSQL since cluster-join.sh, "+
		"before its data was there; the rows that it left are replaced: %s", strings.Join(left, ", "))
	gone, err := goneFolders(p.Every)
	if err != nil {
		return err
	}
	text := cidx.FirstStart
	if len(gone) > 0 {
		text += fmt.Sprintf("; these %d are gone and do not come back: %s", len(gone), strings.Join(gone, ", "))
	}
	p.Warnings.Add("%s", text)
	return nil
}

// goneFolders are the folders that rows of the source name and that do not
// exist.
func goneFolders(list load.Transfers) ([]string, error) {
	var gone []string
	for _, t := range list {
		entry, _ := cidx.FindTable(t.Name)
		if _, ok := t.From.Column(entry.Folders); t.Conn == nil || !ok {
			continue
		}
		rows, err := t.Conn.Query("SELECT " + sqlite.Quote(entry.Folders) + " FROM " + sqlite.Quote(t.From.Name) + " ORDER BY 1")
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			path := rows.Text(0)
			if _, err := os.Lstat(path); filepath.IsAbs(path) && errors.Is(err, fs.ErrNotExist) {
				gone = append(gone, path)
			}
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return gone, nil
}
