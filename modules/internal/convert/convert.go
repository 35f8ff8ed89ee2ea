// Package convert turns SQLite values into PostgreSQL's binary form, the one
// that COPY … (FORMAT binary) takes. The target's type decides; a value that
// would not arrive as it was is refused with the reason. It is pure.
//
// Strictness: 12.7 is no integer, 'false' and 2 are no booleans, a number is no
// time unless the column is known to hold epochs. PostgreSQL's own input
// functions would round, guess or abort.
package convert

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"cidx-cluster/modules/internal/sqlite"
)

// Fault says why a value does not fit, and the way out. The value itself is not
// in it: it may be a secret.
type Fault struct {
	Reason string // e.g. "not a boolean"
	Fix    string // e.g. "set it to 0 or 1"
	Show   bool   // the value is short and of a kind that may be shown
}

// Error is the reason.
func (f *Fault) Error() string { return f.Reason }

// Column says how the values of one column are converted.
type Column struct {
	Type  Type
	Zone  *time.Location // of times without an offset; nil is UTC
	Epoch bool           // numbers, also as text, are seconds since 1970
	UTC   bool           // that times without an offset are UTC is known, not assumed
	// Parsed promises that JSON has been checked already, by Normal.
	Parsed bool

	// Assumed and Ambiguous count times that Append has converted: those without
	// an offset that were taken for UTC, and those of a wall clock that showed
	// them twice or never.
	Assumed, Ambiguous int64
}

// Append appends v as a field of a COPY binary tuple, its length first. On a
// fault dst comes back as it was. NULL is always accepted: whether the column
// may hold it is not a question of the type.
func (c *Column) Append(dst []byte, v *sqlite.Value) ([]byte, *Fault) {
	if v.Class == sqlite.Null {
		return append(dst, 0xff, 0xff, 0xff, 0xff), nil
	}
	switch c.Type.Kind {
	case Text, Varchar, JSON, JSONB, Bytea:
		return c.appendBytes(dst, v)
	case Bool:
		b, fault := boolean(v)
		if fault != nil {
			return dst, fault
		}
		return append(dst, 0, 0, 0, 1, b), nil
	case Int2, Int4, Int8:
		return c.appendInteger(dst, v)
	case Float4, Float8:
		return c.appendFloat(dst, v)
	case Timestamptz, Timestamp, Date:
		return c.appendTime(dst, v)
	}
	return dst, &Fault{Reason: "columns of type " + c.Type.Name + " are not supported",
		Fix: "name the column in cidx_database_accept to leave it behind"}
}

func (c *Column) appendBytes(dst []byte, v *sqlite.Value) ([]byte, *Fault) {
	var fault *Fault
	body := v.Bytes
	switch {
	case c.Type.Kind == Bytea:
		if v.Class != sqlite.Blob {
			return dst, Misfit(v, "binary data", "store the value as a BLOB")
		}
	case c.Type.Kind == JSON || c.Type.Kind == JSONB:
		if fault = c.checkJSON(v); fault != nil {
			return dst, fault
		}
	case v.Class == sqlite.Integer:
		body = strconv.AppendInt(make([]byte, 0, 20), v.Int, 10)
		fault = c.checkLength(body)
	default:
		fault = c.checkText(v)
	}
	if fault != nil {
		return dst, fault
	}
	if c.Type.Kind == JSONB {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)+1))
		return append(append(dst, 1), body...), nil // 1: version of jsonb's binary form
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...), nil
}

func (c *Column) checkText(v *sqlite.Value) *Fault {
	if v.Class != sqlite.Text {
		return Misfit(v, "text", "store the value as TEXT")
	}
	if fault := characters(v.Bytes); fault != nil {
		return fault
	}
	return c.checkLength(v.Bytes)
}

func (c *Column) checkLength(text []byte) *Fault {
	if c.Type.Kind != Varchar || c.Type.Limit == 0 || len(text) <= c.Type.Limit {
		return nil
	}
	n := utf8.RuneCount(text)
	if n <= c.Type.Limit {
		return nil
	}
	return &Fault{Reason: fmt.Sprintf("%d characters where PostgreSQL keeps %d", n, c.Type.Limit), Fix: "shorten the value"}
}

// characters finds what PostgreSQL's text cannot hold.
func characters(text []byte) *Fault {
	if at := bytes.IndexByte(text, 0); at >= 0 {
		return &Fault{Reason: fmt.Sprintf("NUL character at byte %d, which PostgreSQL cannot store", at), Fix: "remove the character"}
	}
	if utf8.Valid(text) {
		return nil
	}
	at := 0
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			break
		}
		rest, at = rest[n:], at+n
	}
	return &Fault{Reason: fmt.Sprintf("invalid UTF-8 at byte %d", at), Fix: "re-encode the value as UTF-8"}
}

// checkJSON checks a document unless the caller has done so.
func (c *Column) checkJSON(v *sqlite.Value) *Fault {
	if v.Class != sqlite.Text {
		return Misfit(v, "JSON text", "store the value as TEXT")
	}
	if c.Parsed {
		return nil
	}
	var n Normalizer
	_, fault := n.Append(nil, v.Bytes)
	return fault
}

func boolean(v *sqlite.Value) (byte, *Fault) {
	switch {
	case v.Class == sqlite.Integer && (v.Int == 0 || v.Int == 1):
		return byte(v.Int), nil
	case v.Class == sqlite.Real && (v.Real == 0 || v.Real == 1):
		return byte(v.Real), nil
	}
	return 0, &Fault{Reason: "not a boolean (stored as " + v.Class.String() + ")", Fix: "set it to 0 or 1", Show: true}
}

func (c *Column) appendInteger(dst []byte, v *sqlite.Value) ([]byte, *Fault) {
	n, fault := integer(v)
	if fault != nil {
		return dst, fault
	}
	bits := widths[c.Type.Kind]
	if shift := 64 - bits; n<<shift>>shift != n {
		return dst, &Fault{Reason: fmt.Sprintf("out of range of a %d-bit integer", bits), Fix: "set a smaller value", Show: true}
	}
	switch bits {
	case 16:
		return binary.BigEndian.AppendUint16(append(dst, 0, 0, 0, 2), uint16(n)), nil
	case 32:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(n)), nil
	}
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(n)), nil
}

// integer accepts whole numbers in any storage class that spells them exactly.
func integer(v *sqlite.Value) (int64, *Fault) {
	switch v.Class {
	case sqlite.Integer:
		return v.Int, nil
	case sqlite.Real:
		if v.Real == math.Trunc(v.Real) && math.Abs(v.Real) <= 1<<53 {
			return int64(v.Real), nil
		}
	case sqlite.Text:
		if n, err := strconv.ParseInt(string(v.Bytes), 10, 64); err == nil && strconv.FormatInt(n, 10) == string(v.Bytes) {
			return n, nil
		}
	}
	return 0, &Fault{Reason: "not an integer (stored as " + v.Class.String() + ")", Fix: "set a whole number", Show: true}
}

func (c *Column) appendFloat(dst []byte, v *sqlite.Value) ([]byte, *Fault) {
	f := v.Real
	switch {
	case v.Class == sqlite.Integer:
		f = float64(v.Int)
		if v.Int > 1<<53 || v.Int < -1<<53 {
			return dst, &Fault{Reason: "an integer that a floating point number cannot hold exactly",
				Fix: "set a value below 2^53", Show: true}
		}
	case v.Class != sqlite.Real:
		return dst, &Fault{Reason: "not a number (stored as " + v.Class.String() + ")", Fix: "set a number", Show: true}
	}
	if c.Type.Kind == Float8 {
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), math.Float64bits(f)), nil
	}
	// float4 keeps about seven digits; CIDX's schema wants it so.
	g := float32(f)
	if math.IsInf(float64(g), 0) != math.IsInf(f, 0) || (g == 0) != (f == 0) {
		return dst, &Fault{Reason: "out of range of a 32-bit floating point number", Fix: "set a value that fits", Show: true}
	}
	return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), math.Float32bits(g)), nil
}

// Misfit is the fault of a value of another class than it should have.
func Misfit(v *sqlite.Value, want, fix string) *Fault {
	return &Fault{Reason: "stored as " + v.Class.String() + " where " + want + " should be", Fix: fix}
}
