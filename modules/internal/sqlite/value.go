// Package sqlite reads private copies of SQLite databases, with the storage
// class of every value. It never writes: no journal, no WAL index, no lock,
// not even beside a file that still has a -wal.
//
// It stands directly on the C API of modernc.org/sqlite/lib, because
// database/sql hides storage classes and allocates for every value.
package sqlite

import "strconv"

// Class is the storage class of a value (https://sqlite.org/datatype3.html).
type Class byte

// The five storage classes.
const (
	Null Class = iota
	Integer
	Real
	Text
	Blob
)

// String returns SQLite's own name of the class, as typeof() does.
func (c Class) String() string {
	return [...]string{"null", "integer", "real", "text", "blob"}[c]
}

// Value is one value of a row. Bytes is set for Text (UTF-8, unless the
// database holds garbage) and Blob; it is valid until the next step only.
type Value struct {
	Class Class
	Int   int64
	Real  float64
	Bytes []byte
}

// NullValue, IntegerValue, RealValue, TextValue and BlobValue make values.
func NullValue() Value           { return Value{} }
func IntegerValue(n int64) Value { return Value{Class: Integer, Int: n} }
func RealValue(f float64) Value  { return Value{Class: Real, Real: f} }
func TextValue(s string) Value   { return Value{Class: Text, Bytes: []byte(s)} }
func BlobValue(b []byte) Value   { return Value{Class: Blob, Bytes: b} }

// IsNull reports whether v is NULL.
func (v Value) IsNull() bool { return v.Class == Null }

// String shows v as SQLite's command line would, for messages.
func (v Value) String() string {
	switch v.Class {
	case Integer:
		return strconv.FormatInt(v.Int, 10)
	case Real:
		return strconv.FormatFloat(v.Real, 'g', -1, 64)
	case Text, Blob:
		return string(v.Bytes)
	}
	return "NULL"
}
