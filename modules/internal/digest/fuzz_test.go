package digest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"cidx-cluster/modules/internal/convert"
	"cidx-cluster/modules/internal/sqlite"
)

// types of the fuzzed columns. JSON is not among them: PostgreSQL itself brings
// jsonb into its form, see the exam.
var types = []string{"text", "character varying(5)", "boolean", "smallint", "integer", "bigint", "real", "double precision",
	"timestamp with time zone", "timestamp without time zone", "date", "bytea"}

// FuzzTwoSides: whatever a conversion accepts has one canonical form, computed
// from the value and from the bytes that are sent.
func FuzzTwoSides(f *testing.F) {
	for _, q := range questions {
		for i, name := range types {
			if name == q.typ {
				f.Add(byte(i), byte(q.in.Class), q.in.Int, q.in.Real, q.in.Bytes, q.rule.Epoch, q.rule.Zone != nil)
			}
		}
	}
	zone := berlin()
	f.Fuzz(func(t *testing.T, typ, class byte, n int64, x float64, b []byte, epoch, local bool) {
		if x != x {
			return // SQLite has no NaN
		}
		column := convert.Column{Type: convert.ParseType(types[int(typ)%len(types)]), Epoch: epoch}
		if local {
			column.Zone = zone
		}
		v := sqlite.Value{Class: sqlite.Class(class % 5)}
		switch v.Class {
		case sqlite.Integer:
			v.Int = n
		case sqlite.Real:
			v.Real = x
		case sqlite.Text, sqlite.Blob:
			v.Bytes = b
		}
		prefix := []byte("kept")
		out, fault := column.Append(prefix, &v)
		if fault != nil {
			if !bytes.Equal(out, prefix) {
				t.Fatalf("a refused value leaves %q", out)
			}
			if fault.Reason == "" || fault.Fix == "" {
				t.Fatalf("a fault without reason or fix: %+v", fault)
			}
			return
		}
		field := out[len(prefix)+4:]
		if size := int32(binary.BigEndian.Uint32(out[len(prefix):])); size < 0 {
			field = nil
		} else if int(size) != len(field) {
			t.Fatalf("length %d before %d bytes", size, len(field))
		}
		var source Source
		ours, fault := source.Append(nil, &column, &v)
		theirs, err := Target(nil, &column, field)
		if fault != nil || err != nil || !bytes.Equal(ours, theirs) {
			t.Fatalf("%s of %v %q: %x (%v) and %x (%v)", column.Type.Name, v.Class, v, ours, fault, theirs, err)
		}
	})
}
