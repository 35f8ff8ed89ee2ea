package digest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/pgtest"
	"cidx-cluster/modules/internal/postgres"
	"cidx-cluster/modules/internal/sqlite"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// question is a SQLite value that a column must take, with PostgreSQL's own
// spelling of what arrives.
type question struct {
	typ  string
	in   sqlite.Value
	want string
	rule convert.Column // Zone, Epoch
}

func text(s string) sqlite.Value { return sqlite.TextValue(s) }

func berlin() *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return zone
}

// questions are the values that conversions accept. Keys are sentences.
var questions = map[string]question{
	"text":                            {typ: "text", in: text("größe 日本 😀"), want: "größe 日本 😀"},
	"empty text":                      {typ: "text", in: text(""), want: ""},
	"a number in a text column":       {typ: "text", in: sqlite.IntegerValue(-12), want: "-12"},
	"text with every ASCII control":   {typ: "text", in: text("\x01\t\n\r\x1f\x7f\\N\\."), want: "\x01\t\n\r\x1f\x7f\\N\\."},
	"varchar at its limit":            {typ: "character varying(3)", in: text("äöü"), want: "äöü"},
	"varchar without a limit":         {typ: "character varying", in: text("abc"), want: "abc"},
	"true":                            {typ: "boolean", in: sqlite.IntegerValue(1), want: "true"},
	"false":                           {typ: "boolean", in: sqlite.IntegerValue(0), want: "false"},
	"true as a float":                 {typ: "boolean", in: sqlite.RealValue(1), want: "true"},
	"smallest 16-bit integer":         {typ: "smallint", in: sqlite.IntegerValue(-32768), want: "-32768"},
	"largest 32-bit integer":          {typ: "integer", in: sqlite.IntegerValue(math.MaxInt32), want: "2147483647"},
	"smallest 32-bit integer":         {typ: "integer", in: sqlite.IntegerValue(math.MinInt32), want: "-2147483648"},
	"smallest 64-bit integer":         {typ: "bigint", in: sqlite.IntegerValue(math.MinInt64), want: "-9223372036854775808"},
	"a whole float as an integer":     {typ: "integer", in: sqlite.RealValue(12), want: "12"},
	"an integer spelled as text":      {typ: "bigint", in: text("-42"), want: "-42"},
	"float":                           {typ: "double precision", in: sqlite.RealValue(1700000001.267985), want: "1700000001.267985"},
	"float with all its digits":       {typ: "double precision", in: sqlite.RealValue(math.Nextafter(0.3, 1)), want: "0.30000000000000004"},
	"an integer as a float":           {typ: "double precision", in: sqlite.IntegerValue(1 << 53), want: "9.007199254740992e+15"},
	"infinity":                        {typ: "double precision", in: sqlite.RealValue(math.Inf(-1)), want: "-Infinity"},
	"negative zero":                   {typ: "double precision", in: sqlite.RealValue(math.Copysign(0, -1)), want: "-0"},
	"the smallest float":              {typ: "double precision", in: sqlite.RealValue(math.SmallestNonzeroFloat64), want: "5e-324"},
	"float4 rounds":                   {typ: "real", in: sqlite.RealValue(12.345678901), want: "12.345679"},
	"time with microseconds":          {typ: "timestamp with time zone", in: text("2026-01-02T03:04:05.000006+00:00"), want: "2026-01-02 03:04:05.000006+00"},
	"time with an offset":             {typ: "timestamp with time zone", in: text("2026-01-02T03:04:05+05:30"), want: "2026-01-01 21:34:05+00"},
	"time with an offset in seconds":  {typ: "timestamp with time zone", in: text("1900-01-02T03:04:05+00:53:28"), want: "1900-01-02 02:10:37+00"},
	"time with a short offset":        {typ: "timestamp with time zone", in: text("2026-01-02 03:04:05-08"), want: "2026-01-02 11:04:05+00"},
	"time with an offset in one word": {typ: "timestamp with time zone", in: text("2026-01-02T03:04:05.5+0530"), want: "2026-01-01 21:34:05.5+00"},
	"time with Z":                     {typ: "timestamp with time zone", in: text("2026-01-02T03:04:05.123Z"), want: "2026-01-02 03:04:05.123+00"},
	"naive time is UTC":               {typ: "timestamp with time zone", in: text("2026-07-02 03:04:05"), want: "2026-07-02 03:04:05+00"},
	"naive time without seconds":      {typ: "timestamp with time zone", in: text("2026-07-02T03:04"), want: "2026-07-02 03:04:00+00"},
	"a date is its midnight":          {typ: "timestamp with time zone", in: text("2026-07-02"), want: "2026-07-02 00:00:00+00"},
	"nanoseconds that are zero":       {typ: "timestamp with time zone", in: text("2026-07-02T00:00:00.123456000Z"), want: "2026-07-02 00:00:00.123456+00"},
	"before 1970":                     {typ: "timestamp with time zone", in: text("1969-12-31T23:59:59.999999+00:00"), want: "1969-12-31 23:59:59.999999+00"},
	"the first year":                  {typ: "timestamp with time zone", in: text("0001-01-01T00:00:00+00:00"), want: "0001-01-01 00:00:00+00"},
	"the last year":                   {typ: "timestamp with time zone", in: text("9999-12-31T23:59:59.999999+00:00"), want: "9999-12-31 23:59:59.999999+00"},
	"leap day":                        {typ: "timestamp with time zone", in: text("2024-02-29T12:00:00+00:00"), want: "2024-02-29 12:00:00+00"},
	"local time in winter":            {typ: "timestamp with time zone", in: text("2026-01-02T03:04:05"), want: "2026-01-02 02:04:05+00", rule: convert.Column{Zone: berlin()}},
	"local time in summer":            {typ: "timestamp with time zone", in: text("2026-07-02 03:04:05.25"), want: "2026-07-02 01:04:05.25+00", rule: convert.Column{Zone: berlin()}},
	"local time that comes twice":     {typ: "timestamp with time zone", in: text("2026-10-25T02:30:00"), want: "2026-10-25 00:30:00+00", rule: convert.Column{Zone: berlin()}},
	"local time that never comes":     {typ: "timestamp with time zone", in: text("2026-03-29T02:30:00"), want: "2026-03-29 01:30:00+00", rule: convert.Column{Zone: berlin()}},
	"an offset beats the local zone":  {typ: "timestamp with time zone", in: text("2026-07-02T03:04:05Z"), want: "2026-07-02 03:04:05+00", rule: convert.Column{Zone: berlin()}},
	"epoch as text":                   {typ: "timestamp with time zone", in: text("1767312000.5"), want: "2026-01-02 00:00:00.5+00", rule: convert.Column{Epoch: true}},
	"epoch as a float":                {typ: "timestamp with time zone", in: sqlite.RealValue(1700000001.267985), want: "2023-11-14 22:13:21.267985+00", rule: convert.Column{Epoch: true}},
	"epoch as an integer":             {typ: "timestamp with time zone", in: sqlite.IntegerValue(1767312000), want: "2026-01-02 00:00:00+00", rule: convert.Column{Epoch: true}},
	"ISO in an epoch column":          {typ: "timestamp with time zone", in: text("2026-01-02T00:00:00+00:00"), want: "2026-01-02 00:00:00+00", rule: convert.Column{Epoch: true}},
	"wall clock":                      {typ: "timestamp without time zone", in: text("2026-01-02 03:04:05"), want: "2026-01-02 03:04:05"},
	"wall clock of an offset is UTC":  {typ: "timestamp without time zone", in: text("2026-01-02T03:04:05+02:00"), want: "2026-01-02 01:04:05"},
	"date":                            {typ: "date", in: text("2026-01-02"), want: "2026-01-02"},
	"date before 2000":                {typ: "date", in: text("1999-12-31"), want: "1999-12-31"},
	"bytes":                           {typ: "bytea", in: sqlite.BlobValue([]byte{0, 1, 0xff}), want: `\x0001ff`},
	"JSON as text keeps its form":     {typ: "json", in: text(`{"b":1, "a":[1.10]}`), want: `{"b":1, "a":[1.10]}`},
	"JSON null is not NULL":           {typ: "jsonb", in: text(`null`), want: `null`},
	"JSON keys by length":             {typ: "jsonb", in: text(`{"bb":1,"a":2,"":3,"ä":4,"b":5}`), want: `{"": 3, "a": 2, "b": 5, "bb": 1, "ä": 4}`},
	"of equal JSON keys the last":     {typ: "jsonb", in: text(`{"a":1,"b":{"x":1,"x":2},"a":{"z":[1,{"q":1,"q":2}]}}`), want: `{"a": {"z": [1, {"q": 2}]}, "b": {"x": 2}}`},
	"equal keys in other spellings":   {typ: "jsonb", in: text(`{"a":1,"\u0061":2}`), want: `{"a": 2}`},
	"JSON numbers keep their digits":  {typ: "jsonb", in: text(`[12345678901234567.25,1.10,-0,-0.00,0e5,1e2,1.50e1,12e-1,0.5E+3,1e-3,100e-1,0.001e2,-1.5e-2,0.10e1,0e-2]`), want: `[12345678901234567.25, 1.10, 0, 0.00, 0, 100, 15.0, 1.2, 500, 0.001, 10.0, 0.1, -0.015, 1.0, 0.00]`},
	"JSON escapes":                    {typ: "jsonb", in: text(`["\u00e9\/\b\f\n\r\t\"\\\u001f\u007f\ud83d\ude00", "é😀"]`), want: `["é/\b\f\n\r\t\"\\\u001f` + "\x7f" + `😀", "é😀"]`},
	"JSON with blanks":                {typ: "jsonb", in: text(" \n\t{ \"a\" :\r[ ] , \"b\":{ } } "), want: `{"a": [], "b": {}}`},
	"a JSON string":                   {typ: "jsonb", in: text(`"x"`), want: `"x"`},
	"a deep JSON document":            {typ: "jsonb", in: text(strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), want: strings.Repeat("[", 2000) + strings.Repeat("]", 2000)},
	"a huge JSON exponent":            {typ: "jsonb", in: text(`[1e400]`), want: `[1` + strings.Repeat("0", 400) + `]`},
	"the largest JSON number":         {typ: "jsonb", in: text(`9e131071`), want: `9` + strings.Repeat("0", 131071)},
	"the finest JSON number":          {typ: "jsonb", in: text(`1e-16383`), want: `0.` + strings.Repeat("0", 16382) + `1`},
}

// TestTwoSidesSitOneExam sends every value through PostgreSQL: it must print
// what we expect, and the canonical form of what it sends back must be that of
// the SQLite value.
func TestTwoSidesSitOneExam(t *testing.T) {
	ctx := context.Background()
	dsn := pgtest.Database(t)
	conn, err := postgres.Connect(ctx, dsn, "exam")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	tables := map[string]string{}
	for name, q := range questions {
		t.Run(name, func(t *testing.T) {
			table, ok := tables[q.typ]
			if !ok {
				table = fmt.Sprintf("exam_%d", len(tables))
				tables[q.typ] = table
				pgtest.Exec(t, dsn, "CREATE TABLE "+table+" (v "+q.typ+")")
			}
			column := q.rule
			column.Type = convert.ParseType(q.typ)
			field, fault := column.Append(nil, &q.in)
			if fault != nil {
				t.Fatalf("refused: %v", fault)
			}
			stream := append([]byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), field...)
			if _, err := conn.CopyFrom(ctx, bytes.NewReader(append(stream, 0xff, 0xff)), "COPY "+table+" FROM STDIN (FORMAT binary)"); err != nil {
				t.Fatalf("PostgreSQL refuses it: %v", err)
			}
			rows, err := postgres.Rows(ctx, conn, "SELECT v::text FROM "+table)
			if err != nil || len(rows) != 1 {
				t.Fatalf("read back: %d rows, %v", len(rows), err)
			}
			if got := string(rows[0][0]); got != q.want {
				t.Errorf("PostgreSQL has %.200q, want %.200q", got, q.want)
			}
			compareSides(t, conn, table, &column, &q.in)
			if err := postgres.Run(ctx, conn, "TRUNCATE "+table); err != nil {
				t.Fatal(err)
			}
		})
	}
}
