package load

import (
	"fmt"
	"testing"
	"unicode/utf8"
)

func TestEmptyTablesAreToldInOneLine(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("table_%d", i))
	}
	for want, names := range map[string][]string{
		"Migrating 1 table without a row: users":                                   {"users"},
		"Migrating 2 tables without a row: users, groups":                          {"users", "groups"},
		"Migrating 40 tables without a row: table_0, table_1, table_2 and 37 more": many,
	} {
		got := EmptyTables("Migrating", names)
		if got != want || utf8.RuneCountInString(got) > 78 {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
