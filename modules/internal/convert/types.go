package convert

import (
	"fmt"
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

func (k Kind) bits() int {
	switch k {
	case Int2:
		return 16
	case Int4:
		return 32
	case Int8:
		return 64
	}
	panic(fmt.Sprintf("convert: kind %d has no width", k))
}
