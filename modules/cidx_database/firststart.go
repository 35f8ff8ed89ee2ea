package database

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/load"
	"cidx-cluster/modules/internal/sqlite"
)

// A server that starts between cluster-join.sh and the migration (a crash, a
// reboot, an update) runs on the empty PostgreSQL. The rows that it leaves there
// are recognised and replaced; what it has done to the home is told.

// seed is a condition on canonical fields, by column.
type seed struct {
	values map[int][]byte
	equal  map[int]int // a text column → the column of the same moment
}

// seeds are those of a table that count.
func (t *table) seeds(every transfers) ([]seed, error) {
	if other := every.find(t.SeedsOf); t.SeedsOf != "" && (other == nil || other.seeded == 0) {
		return nil, nil
	}
	var list []seed
	for _, conditions := range t.Seeds {
		s, err := t.seed(conditions)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// seed translates one of the catalogue's seeds into canonical values.
func (t *table) seed(conditions cidx.Seed) (seed, error) {
	s := seed{map[int][]byte{}, map[int]int{}}
	for name, text := range conditions {
		i := t.Index(name)
		if i < 0 {
			continue
		}
		if other, ok := strings.CutPrefix(text, "="); ok {
			s.equal[i] = t.Index(other)
			continue
		}
		v := sqlite.TextValue(text)
		if text == "" {
			v = sqlite.NullValue()
		}
		var source digest.Source
		field, fault := source.Append(nil, &t.Columns[i].Column, &v)
		if fault != nil {
			return s, fmt.Errorf("read seed of %s: %w", t.Name, fault)
		}
		s.values[i] = field
	}
	return s, nil
}

// matches reports whether a row is one of a first start.
func (t *table) matches(seeds []seed, row [][]byte) bool {
	for _, s := range seeds {
		all := len(s.values) > 0
		for i, field := range s.values {
			all = all && string(row[i]) == string(field)
		}
		for i, other := range s.equal {
			all = all && other >= 0 && t.sameMoment(row[i], row[other], other)
		}
		if all {
			return true
		}
	}
	return false
}

// sameMoment reports whether a text is the moment in column other.
func (t *table) sameMoment(text, moment []byte, other int) bool {
	value := load.CanonicalValue(text)
	if value == nil {
		return false
	}
	c := convert.Column{Type: t.Columns[other].Type, UTC: true}
	v := sqlite.TextValue(string(value))
	var source digest.Source
	field, fault := source.Append(nil, &c, &v)
	return fault == nil && string(field) == string(moment)
}

// tellFirstStart says that a server has run on this PostgreSQL before, and what
// that has cost.
func (list transfers) tellFirstStart(n *notes) error {
	var left []string
	started := false
	for _, t := range list {
		if t.seeded > 0 {
			left = append(left, fmt.Sprintf("%s %d", t.Name, t.seeded))
			started = started || t.Started
		}
	}
	if !started { // groups and the like can be there without one
		return nil
	}
	n.warnings.add("a server has started on this PostgreSQL since cluster-join.sh, "+
		"before its data was there; the rows that it left are replaced: %s", strings.Join(left, ", "))
	gone, err := list.goneFolders()
	if err != nil {
		return err
	}
	text := cidx.FirstStart
	if len(gone) > 0 {
		text += fmt.Sprintf("; these %d are gone and do not come back: %s", len(gone), strings.Join(gone, ", "))
	}
	n.warnings.add("%s", text)
	return nil
}

// goneFolders are the folders that rows of the source name and that do not
// exist.
func (list transfers) goneFolders() ([]string, error) {
	var gone []string
	for _, t := range list {
		if _, ok := t.From.Column(t.Folders); t.Conn == nil || !ok {
			continue
		}
		rows, err := t.Conn.Query("SELECT " + sqlite.Quote(t.Folders) + " FROM " + sqlite.Quote(t.From.Name) + " ORDER BY 1")
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
