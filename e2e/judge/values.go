package judge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// column is a column of a copied table with all that decides how it is compared.
type column struct {
	table, name string // name in PostgreSQL
	kind        string // PostgreSQL type
	nullable    bool
}

func (c column) id() string { return c.table + "." + c.name }

// comparer judges single values.
type comparer struct {
	zone  *time.Location
	paths *pathRule
}

// same answers "" if PostgreSQL holds what SQLite held, else why not.
func (x *comparer) same(c column, was liteValue, is pgValue) string {
	if was.class == 'n' {
		return x.sameNull(c, is)
	}
	if is.null {
		return fmt.Sprintf("was %s, is NULL", show(c, plain(was)))
	}
	equal, err := x.equal(c, was, is.text)
	switch {
	case err != nil && secretColumns[c.id()]:
		return "was and is differ in form (secret)"
	case err != nil:
		return fmt.Sprintf("was %s, is %s: %v", show(c, plain(was)), show(c, is.text), err)
	case !equal:
		return fmt.Sprintf("was %s, is %s", show(c, plain(was)), show(c, is.text))
	}
	return ""
}

func (x *comparer) sameNull(c column, is pgValue) string {
	expected, hasDefault := nullDefaults[c.id()]
	switch {
	case is.null && !c.nullable:
		return "is NULL where NULL is forbidden"
	case is.null:
		return ""
	case !hasDefault:
		return fmt.Sprintf("was NULL, is %s", show(c, is.text))
	case expected == "now":
		if _, err := parsePostgresTime(is.text); err != nil {
			return err.Error()
		}
	case is.text != expected:
		return fmt.Sprintf("was NULL, is %s, want %s", show(c, is.text), expected)
	}
	return ""
}

func (x *comparer) equal(c column, was liteValue, is string) (bool, error) {
	switch kind, _, _ := strings.Cut(c.kind, "("); kind {
	case "text", "character varying":
		return x.equalText(c, was, is)
	case "integer", "bigint", "smallint":
		return was.class == 'i' && strconv.FormatInt(was.whole, 10) == is, nil
	case "boolean":
		return was.class == 'i' && (was.whole == 0 && is == "f" || was.whole == 1 && is == "t"), nil
	case "double precision", "real":
		return equalFloat(kind == "real", was, is)
	case "timestamp with time zone", "timestamp without time zone":
		return x.equalTime(c, was, is)
	case "jsonb":
		return equalJSON(was, is)
	case "bytea":
		return was.class == 'b' && fmt.Sprintf(`\x%x`, was.text) == is, nil
	default:
		return false, fmt.Errorf("unknown type %s", c.kind)
	}
}

func (x *comparer) equalText(c column, was liteValue, is string) (bool, error) {
	if was.class != 't' {
		return false, fmt.Errorf("storage class is not text")
	}
	switch {
	case pathColumns[c.id()]:
		return x.paths.equal(was.text, is), nil
	case urlColumns[c.id()]:
		return x.paths.equalURL(was.text, is), nil
	}
	return was.text == is, nil
}

// equalFloat wants the same double, or within float4's precision the same single.
func equalFloat(single bool, was liteValue, is string) (bool, error) {
	want := was.real
	switch was.class {
	case 'i':
		want = float64(was.whole)
	case 'r':
	default:
		return false, fmt.Errorf("storage class is not a number")
	}
	got, err := strconv.ParseFloat(is, 64)
	if err != nil {
		return false, fmt.Errorf("not a number")
	}
	if single {
		return math.Abs(want-got) <= math.Abs(want)*1e-6, nil
	}
	return want == got, nil
}

// equalTime compares instants in microseconds, PostgreSQL's resolution; a time
// that SQLite has more exactly (epoch numbers, more than six digits) may be rounded.
func (x *comparer) equalTime(c column, was liteValue, is string) (bool, error) {
	got, err := parsePostgresTime(is)
	if err != nil {
		return false, err
	}
	zone := time.UTC
	if localTimes[c.id()] {
		zone = x.zone
	}
	want, rounded, err := parseLiteTime(was, zone)
	if err != nil {
		return false, err
	}
	off := got.Sub(want).Abs()
	if rounded {
		return off <= time.Microsecond, nil
	}
	return off == 0, nil
}

// plain is a SQLite value for a person.
func plain(v liteValue) string {
	switch v.class {
	case 'i':
		return strconv.FormatInt(v.whole, 10)
	case 'r':
		return strconv.FormatFloat(v.real, 'g', -1, 64)
	case 'n':
		return "NULL"
	}
	return v.text
}

func show(c column, text string) string {
	if secretColumns[c.id()] {
		return "(secret)"
	}
	if len(text) > 120 {
		return fmt.Sprintf("%q… (%d bytes)", text[:120], len(text))
	}
	return fmt.Sprintf("%q", text)
}
