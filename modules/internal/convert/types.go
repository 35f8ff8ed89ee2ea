package convert

import (
	"math"
	"strconv"
	"strings"
)

// Kind is a class of PostgreSQL types with one binary form.
type Kind byte

// The kinds that values can be converted to.
const (
	Unsupported Kind = iota
	Text
	Varchar
	Bool
	Int2
	Int4
	Int8
	Float4
	Float8
	Timestamptz
	Timestamp
	Date
	JSON
	JSONB
	Bytea
)

// Type is a PostgreSQL type.
type Type struct {
	Kind  Kind
	Limit int    // of Varchar, in characters; 0 is none
	Name  string // as format_type() spells it
}

var kinds = map[string]Kind{
	"text": Text, "character varying": Varchar, "boolean": Bool,
	"smallint": Int2, "integer": Int4, "bigint": Int8,
	"real": Float4, "double precision": Float8,
	"timestamp with time zone": Timestamptz, "timestamp without time zone": Timestamp, "date": Date,
	"json": JSON, "jsonb": JSONB, "bytea": Bytea,
}

// ParseType reads a type as PostgreSQL's format_type() spells it, for example
// "character varying(16)". A type that values cannot be converted to has Kind
// Unsupported.
func ParseType(name string) Type {
	t := Type{Name: name, Kind: kinds[name]}
	if head, rest, ok := strings.Cut(name, "("); ok && kinds[head] == Varchar {
		n, err := strconv.Atoi(strings.TrimSuffix(rest, ")"))
		if err == nil {
			t.Kind, t.Limit = Varchar, n
		}
	}
	return t
}

// widths are the bits of the kinds that are whole numbers.
var widths = [...]int{Int2: 16, Int4: 32, Int8: 64, Bytea: 0}

// Whole reports whether values of the kind are whole numbers.
func (k Kind) Whole() bool { return widths[k] > 0 }

// Largest is the highest integer of a kind.
func (k Kind) Largest() int64 { return math.MaxInt64 >> ((64 - widths[k]) % 64) }
