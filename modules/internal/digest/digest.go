// Package digest says whether the rows of a table in SQLite and in PostgreSQL
// are the same, value by value, in any order and in constant memory.
//
// Every row is brought into a canonical form: once from the SQLite value
// (Source), once from what PostgreSQL sends back in binary (Target). The two
// share no code with each other nor with the encoder of package convert, except
// the rules that PostgreSQL itself applies (jsonb's normal form) and those that
// only we can know (the zone of a time without one). The hashes of all rows are
// added up, so that order does not matter and a doubled row does.
package digest

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"

	"cidx-cluster/modules/internal/convert"
)

// Sum is the digest of a set of rows.
type Sum struct {
	Rows   int64
	hi, lo uint64
}

// Add adds one row in canonical form.
func (s *Sum) Add(canonical []byte) {
	h := xxh3.Hash128(canonical)
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, h.Lo, 0)
	s.hi, _ = bits.Add64(s.hi, h.Hi, carry)
	s.Rows++
}

// Plus is the digest of the rows of both.
func (s Sum) Plus(t Sum) Sum {
	lo, carry := bits.Add64(s.lo, t.lo, 0)
	hi, _ := bits.Add64(s.hi, t.hi, carry)
	return Sum{s.Rows + t.Rows, hi, lo}
}

// Minus is the digest of the rows of s without those of t, which are among them.
func (s Sum) Minus(t Sum) Sum {
	lo, borrow := bits.Sub64(s.lo, t.lo, 0)
	hi, _ := bits.Sub64(s.hi, t.hi, borrow)
	return Sum{s.Rows - t.Rows, hi, lo}
}

// String is the digest without the number of rows, 32 hexadecimal digits.
func (s Sum) String() string {
	return fmt.Sprintf("%016x%016x", s.hi, s.lo)
}

// Parse reads a digest that String wrote.
func Parse(text string, rows int64) (Sum, error) {
	s := Sum{Rows: rows}
	if n, err := fmt.Sscanf(text, "%16x%16x", &s.hi, &s.lo); n != 2 || err != nil || len(text) != 32 {
		return Sum{}, fmt.Errorf("read digest: not 32 hexadecimal digits: %q", text)
	}
	return s, nil
}

// Column is one column of the compared rows.
type Column = convert.Column

// A row in canonical form is its fields in order: a zero byte for NULL,
// otherwise 1, the length of the value as a uvarint, and the value:
//
//	text, varchar, json, bytea   the bytes
//	jsonb                        PostgreSQL's normal form
//	boolean                      t or f
//	integers                     8 bytes, big endian
//	floats                       8 bytes, the bits of the float64 that holds the value
//	times, dates                 8 bytes, microseconds since 1970

func appendNull(dst []byte) []byte { return append(dst, 0) }

func appendField(dst, value []byte) []byte {
	dst = binary.AppendUvarint(append(dst, 1), uint64(len(value)))
	return append(dst, value...)
}

func appendNumber(dst []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, 1, 8), n)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1, 1, 't')
	}
	return append(dst, 1, 1, 'f')
}
