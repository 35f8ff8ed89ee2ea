package convert

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"cidx-cluster/modules/internal/sqlite"
)

// FuzzNormalizer: what is accepted is JSON for the standard library too, means
// the same in normal form, and its normal form is its own.
func FuzzNormalizer(f *testing.F) {
	for _, doc := range []string{
		`{"bb":1,"a":{"x":[1.10,2e3,-0.0]},"a":null}`, `["\u00e9\ud83d\ude00\n", true, false]`, `1e-5`, ` [ ] `, `{"a":1,"\u0061":2}`, `"\u0000"`, `[NaN]`, `{"a":}`, `0.1e1`, `[[[[]]]]`,
	} {
		f.Add([]byte(doc))
	}
	var n Normalizer
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 1<<12 {
			return
		}
		prefix := []byte("kept")
		out, fault := n.Append(prefix, doc)
		if fault != nil {
			if string(out) != "kept" {
				t.Fatalf("a refused document leaves %q", out)
			}
			return
		}
		normal := bytes.Clone(out[len(prefix):])
		if len(normal) > 1<<16 {
			return // a large exponent
		}
		if !json.Valid(doc) || !json.Valid(normal) {
			t.Fatalf("not JSON for encoding/json: %q -> %q", doc, normal)
		}
		var before, after any
		if json.Unmarshal(doc, &before) != nil || json.Unmarshal(normal, &after) != nil {
			return // a number beyond float64
		}
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) && !bytes.Contains(a, []byte("-0")) {
			t.Fatalf("%q means something else: %s and %s", doc, a, b)
		}
		again, fault := n.Append(nil, normal)
		if fault != nil || !bytes.Equal(again, normal) {
			t.Fatalf("normal form %q becomes %q (%v)", normal, again, fault)
		}
	})
}

// FuzzTime: a time that the standard library reads as RFC 3339 means the same
// for us, down to the microsecond.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+05:30", "1969-12-31T23:59:59.999999-00:01", "2026-01-02 03:04", "2026-01-02", "0001-01-01T00:00:00Z", "2024-02-29T23:59:59.1Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		column := Column{Type: ParseType("timestamp with time zone")}
		v := sqlite.TextValue(s)
		got, fault := column.time(&v)
		want, err := time.Parse(time.RFC3339Nano, s)
		if fault != nil || err != nil {
			return
		}
		if want.UnixMicro() != got {
			t.Fatalf("%q is %d, want %d", s, got, want.UnixMicro())
		}
	})
}

// FuzzAppend: no value of any class brings a conversion down, and none leaves a
// field behind that its length does not cover.
func FuzzAppend(f *testing.F) {
	f.Add("character varying(3)", byte(3), int64(0), 0.0, []byte("abc"))
	f.Add("jsonb", byte(3), int64(0), 0.0, []byte("{}"))
	f.Add("date", byte(3), int64(0), 0.0, []byte("2026-01-02"))
	f.Fuzz(func(t *testing.T, typ string, class byte, n int64, x float64, b []byte) {
		column := Column{Type: ParseType(typ)}
		v := sqlite.Value{Class: sqlite.Class(class % 5), Int: n, Real: x, Bytes: b}
		out, fault := column.Append(nil, &v)
		switch {
		case fault != nil && len(out) > 0:
			t.Fatalf("a refused value leaves %x", out)
		case fault == nil && len(out) < 4:
			t.Fatalf("no length: %x", out)
		}
	})
}
