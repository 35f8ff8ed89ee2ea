package digest

import (
	"bytes"
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

// compareSides compares the canonical forms of the only row of a table with one
// column.
func compareSides(t *testing.T, conn *pgconn.PgConn, table string, column *Column, v *sqlite.Value) {
	t.Helper()
	var source Source
	ours, fault := source.Append(nil, column, v)
	if fault != nil {
		t.Fatalf("canonical form of the SQLite value: %v", fault)
	}
	var theirs []byte
	tuples := &postgres.Tuples{Row: func(fields [][]byte) (err error) {
		theirs, err = Target(nil, column, fields[0])
		return err
	}}
	if _, err := conn.CopyTo(context.Background(), tuples, "COPY "+table+" TO STDOUT (FORMAT binary)"); err != nil {
		t.Fatal(err)
	}
	if err := tuples.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Errorf("SQLite's side is %.200q, PostgreSQL's %.200q", ours, theirs)
	}
}

func TestSumIgnoresOrderAndCountsRepeats(t *testing.T) {
	sum := func(rows ...string) (s Sum) {
		for _, r := range rows {
			s.Add([]byte(r))
		}
		return s
	}
	for name, c := range map[string]struct {
		a, b  Sum
		equal bool
	}{
		"another order":            {sum("a", "b", "c"), sum("c", "a", "b"), true},
		"a doubled row":            {sum("a", "b"), sum("a", "b", "b"), false},
		"one doubled for another":  {sum("a", "a", "b"), sum("a", "b", "b"), false},
		"another row":              {sum("a", "b"), sum("a", "c"), false},
		"nothing and an empty row": {sum(), sum(""), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.a == c.b; got != c.equal {
				t.Errorf("equal is %v: %v and %v", got, c.a, c.b)
			}
		})
	}
	s := sum("a", "b")
	if back, err := Parse(s.String(), s.Rows); err != nil || back != s {
		t.Errorf("Parse(%q) = %v, %v", s, back, err)
	}
	if _, err := Parse("xyz", 1); err == nil {
		t.Error("Parse takes a text that is no digest")
	}
}

func TestFieldsDoNotRunIntoEachOther(t *testing.T) {
	column := Column{}
	column.Type.Kind = 1
	row := func(values ...sqlite.Value) string {
		var source Source
		var out []byte
		for i := range values {
			out, _ = source.Append(out, &column, &values[i])
		}
		return string(out)
	}
	null, empty := sqlite.NullValue(), sqlite.TextValue("")
	seen := map[string]int{}
	for i, r := range []string{
		row(sqlite.TextValue("ab"), sqlite.TextValue("c")), row(sqlite.TextValue("a"), sqlite.TextValue("bc")),
		row(null, empty), row(empty, null), row(null, null), row(empty, empty),
	} {
		if other, ok := seen[r]; ok {
			t.Errorf("rows %d and %d have one canonical form", other, i)
		}
		seen[r] = i
	}
}
