package load

import (
	"fmt"
	"strings"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/digest"
	"cidx-cluster/modules/internal/sqlite"
)

// seed is a condition on canonical fields, by column. Rows that meet one are what
// a program leaves in an empty target when it starts on it; they are replaced.
type seed struct {
	values map[int][]byte
	equal  map[int]int // a text column → the column of the same moment
}

// seeds are those of a table that count.
func (t *Table) seeds(every Transfers) ([]seed, error) {
	if other := every.Find(t.SeedsOf); t.SeedsOf != "" && (other == nil || other.Seeded == 0) {
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

// seed translates a description of rows into canonical values.
func (t *Table) seed(conditions map[string]string) (seed, error) {
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
func (t *Table) matches(seeds []seed, row [][]byte) bool {
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
func (t *Table) sameMoment(text, moment []byte, other int) bool {
	value := canonicalValue(text)
	if value == nil {
		return false
	}
	c := convert.Column{Type: t.Columns[other].Type, UTC: true}
	v := sqlite.TextValue(string(value))
	var source digest.Source
	field, fault := source.Append(nil, &c, &v)
	return fault == nil && string(field) == string(moment)
}
