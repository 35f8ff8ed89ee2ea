package convert

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/sqlite"
)

// What is accepted, and as what it arrives, is examined against PostgreSQL
// itself in package digest.
func TestRefused(t *testing.T) {
	text, integer, real := sqlite.TextValue, sqlite.IntegerValue, sqlite.RealValue
	const tz, wall = "timestamp with time zone", "timestamp without time zone"
	for name, c := range map[string]struct {
		typ  string
		in   sqlite.Value
		want string // part of the reason
	}{
		"NUL in text":                       {"text", text("ab\x00c"), "NUL character at byte 2"},
		"invalid UTF-8 in text":             {"text", text("gr\xfc\xdfe"), "invalid UTF-8 at byte 2"},
		"a surrogate in UTF-8":              {"text", text("a\xed\xa0\x80"), "invalid UTF-8 at byte 1"},
		"UTF-8 that is cut off":             {"text", text("日\xe6\x97"), "invalid UTF-8 at byte 3"},
		"a blob in a text column":           {"text", sqlite.BlobValue([]byte("abc")), "stored as blob where text should be"},
		"a float in a text column":          {"text", real(1.5), "stored as real"},
		"varchar overflow in characters":    {"character varying(3)", text("äöüß"), "4 characters where PostgreSQL keeps 3"},
		"a number too long for a varchar":   {"character varying(2)", integer(123), "3 characters"},
		"'false' in a boolean column":       {"boolean", text("false"), "not a boolean"},
		"'no' in a boolean column":          {"boolean", text("no"), "not a boolean"},
		"'1' in a boolean column":           {"boolean", text("1"), "not a boolean"},
		"2 in a boolean column":             {"boolean", integer(2), "not a boolean"},
		"half a boolean":                    {"boolean", real(0.5), "not a boolean"},
		"12.7 in an integer column":         {"integer", real(12.7), "not an integer"},
		"text in an integer column":         {"integer", text("many"), "not an integer"},
		"a number with a sign":              {"integer", text("+1"), "not an integer"},
		"a number with leading zeros":       {"integer", text("007"), "not an integer"},
		"a number with blanks":              {"integer", text(" 1"), "not an integer"},
		"a float beyond integers":           {"bigint", real(1e300), "not an integer"},
		"infinity in an integer column":     {"bigint", real(math.Inf(1)), "not an integer"},
		"32-bit overflow":                   {"integer", integer(math.MaxInt32 + 1), "out of range of a 32-bit integer"},
		"32-bit underflow":                  {"integer", integer(math.MinInt32 - 1), "out of range of a 32-bit integer"},
		"16-bit overflow":                   {"smallint", integer(32768), "out of range of a 16-bit integer"},
		"text in a float column":            {"double precision", text("1.5"), "not a number"},
		"an integer that floats round":      {"double precision", integer(1<<53 + 1), "cannot hold exactly"},
		"float4 overflow":                   {"real", real(1e39), "out of range of a 32-bit floating"},
		"float4 underflow":                  {"real", real(1e-50), "out of range of a 32-bit floating"},
		"an empty time":                     {tz, text(""), "empty text where a time"},
		"a word as a time":                  {tz, text("yesterday"), "not a time"},
		"an epoch where none is known":      {tz, text("1767312000"), "not a time"},
		"an epoch number where none is":     {tz, real(1767312000.5), "not a time (stored as real)"},
		"milliseconds since 1970":           {tz, integer(1767312000000), "not a time (stored as integer)"},
		"the 30th of February":              {tz, text("2026-02-30T00:00:00+00:00"), "not a time"},
		"the 29th of February 2100":         {tz, text("2100-02-29"), "not a time"},
		"month 13":                          {tz, text("2026-13-01"), "not a time"},
		"the year 0":                        {tz, text("0000-01-01"), "not a time"},
		"hour 24":                           {tz, text("2026-01-01T24:00:00Z"), "not a time"},
		"a leap second":                     {tz, text("2016-12-31T23:59:60Z"), "not a time"},
		"nanoseconds":                       {tz, text("2026-01-01T00:00:00.1234567Z"), "not a time"},
		"a fraction without digits":         {tz, text("2026-01-01T00:00:00.Z"), "not a time"},
		"something after the time":          {tz, text("2026-01-01T00:00:00Z "), "not a time"},
		"an offset of a day":                {tz, text("2026-01-01T00:00:00+24:00"), "not a time"},
		"an offset that is cut off":         {tz, text("2026-01-01T00:00:00+1"), "not a time"},
		"a time with a NUL":                 {tz, text("2026-01-01\x00"), "not a time"},
		"a time without a zone, misspelled": {wall, text("02.01.2026"), "not a time"},
		"a time in a date column":           {"date", text("2026-01-02T03:04:05"), "time of day where PostgreSQL keeps a date"},
		"text in a bytea column":            {"bytea", text("abc"), "stored as text where binary"},
		"a number in a jsonb column":        {"jsonb", integer(1), "stored as integer where JSON"},
		"empty JSON":                        {"jsonb", text(""), "empty text where JSON"},
		"blank JSON":                        {"json", text(" \n"), "empty text where JSON"},
		"words in a jsonb column":           {"jsonb", text("hello"), "unexpected character at byte 0"},
		"a Python dict":                     {"jsonb", text("{'a': 1}"), "missing key at byte 1"},
		"NaN in JSON":                       {"jsonb", text(`{"a": NaN}`), "NaN, which JSON does not have"},
		"Infinity in JSON":                  {"jsonb", text(`[Infinity]`), "Infinity, which JSON does not have"},
		"-Infinity in JSON":                 {"jsonb", text(`[-Infinity]`), "malformed number"},
		`\u0000 in JSON`:                    {"jsonb", text(`{"a":"b\u0000c"}`), `\u0000, which PostgreSQL cannot store`},
		`\u0000 in a JSON key`:              {"jsonb", text(`{"b\u0000c":1}`), `\u0000, which PostgreSQL cannot store`},
		"a lone surrogate in JSON":          {"jsonb", text(`["\ud83d"]`), "half of a surrogate pair"},
		"a low surrogate first":             {"jsonb", text(`["\ude00\ud83d"]`), "half of a surrogate pair"},
		"a control character in JSON":       {"jsonb", text("[\"a\nb\"]"), "control character"},
		"NUL in JSON":                       {"jsonb", text("{}\x00"), "NUL character"},
		"invalid UTF-8 in JSON":             {"jsonb", text("[\"\xff\"]"), "invalid UTF-8 at byte 2"},
		"a comma too many":                  {"jsonb", text(`[1,]`), "unexpected character"},
		"a missing brace":                   {"jsonb", text(`{"a":1`), "missing comma or brace"},
		"two documents":                     {"jsonb", text(`{} {}`), "after the end of the document"},
		"a number with leading zeros, JSON": {"jsonb", text(`[01]`), "malformed number"},
		"a number that ends in a point":     {"jsonb", text(`[1.]`), "malformed number"},
		"a number that ends in a letter":    {"jsonb", text(`[1x]`), "malformed number"},
		"a number beyond numeric":           {"jsonb", text(`1e131072`), "beyond PostgreSQL's range"},
		"a number finer than numeric":       {"jsonb", text(`1e-16384`), "beyond PostgreSQL's range"},
		"a document too deep":               {"jsonb", text(strings.Repeat("[", 2002) + strings.Repeat("]", 2002)), "nested deeper"},
		"a type that nobody converts":       {"point", text("(1,2)"), "type point are not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			column := Column{Type: ParseType(c.typ)}
			out, fault := column.Append([]byte("kept"), &c.in)
			if fault == nil {
				t.Fatalf("accepted as %q", out)
			}
			if !strings.Contains(fault.Reason, c.want) || fault.Fix == "" {
				t.Errorf("reason %q (fix %q), want %q", fault.Reason, fault.Fix, c.want)
			}
			if string(out) != "kept" {
				t.Errorf("a refused value leaves %q", out)
			}
		})
	}
}

func TestEpochsInOtherUnitsAreRefused(t *testing.T) {
	column := Column{Type: ParseType("timestamp with time zone"), Epoch: true}
	for name, v := range map[string]sqlite.Value{
		"milliseconds":     sqlite.IntegerValue(1767312000000),
		"days":             sqlite.IntegerValue(20000),
		"hexadecimal text": sqlite.TextValue("0x69570000x"),
		"not a number":     sqlite.TextValue("NaN"),
	} {
		if out, fault := column.Append(nil, &v); fault == nil {
			t.Errorf("%s: accepted as %x", name, out)
		}
	}
}

func TestGuessesAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		column             Column
		in                 string
		assumed, ambiguous int64
	}{
		"naive in a column of unknown zone": {Column{}, "2026-01-02T03:04:05", 1, 0},
		"naive in a column known as UTC":    {Column{UTC: true}, "2026-01-02T03:04:05", 0, 0},
		"with an offset":                    {Column{}, "2026-01-02T03:04:05Z", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.column.Type = ParseType("timestamp with time zone")
			v := sqlite.TextValue(c.in)
			if _, fault := c.column.Append(nil, &v); fault != nil {
				t.Fatal(fault)
			}
			if c.column.Assumed != c.assumed || c.column.Ambiguous != c.ambiguous {
				t.Errorf("counted %d assumed, %d ambiguous", c.column.Assumed, c.column.Ambiguous)
			}
		})
	}
}

func TestNullIsMinusOne(t *testing.T) {
	column := Column{Type: ParseType("text")}
	v := sqlite.NullValue()
	if out, fault := column.Append(nil, &v); fault != nil || !bytes.Equal(out, []byte{0xff, 0xff, 0xff, 0xff}) {
		t.Errorf("NULL is %x (%v)", out, fault)
	}
}

func TestConversionsDoNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 4096)
	var n Normalizer
	out := make([]byte, 0, 4096)
	doc := []byte(`{"name": "x", "tags": ["a", "b"], "nested": {"bb": 1, "a": 2.50}, "t": true}`)
	values := []struct {
		c Column
		v sqlite.Value
	}{
		{Column{Type: ParseType("text")}, sqlite.TextValue("some text")},
		{Column{Type: ParseType("timestamp with time zone")}, sqlite.TextValue("2026-01-02T03:04:05.000006+00:00")},
		{Column{Type: ParseType("integer")}, sqlite.IntegerValue(1)},
		{Column{Type: ParseType("double precision")}, sqlite.RealValue(1)},
	}
	if got := testing.AllocsPerRun(100, func() {
		for i := range values {
			if _, fault := values[i].c.Append(dst, &values[i].v); fault != nil {
				t.Fatal(fault)
			}
		}
		if _, fault := n.Append(out, doc); fault != nil {
			t.Fatal(fault)
		}
	}); got > 0 {
		t.Errorf("%v allocations a row", got)
	}
}
