package jsonfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetKeepsEveryOtherByte(t *testing.T) {
	set := func(value any, path ...string) []Edit { return []Edit{{Path: path, Value: value}} }
	cases := map[string]struct {
		in    string
		edits []Edit
		want  string
	}{
		"only the value changes, escapes, order and missing newline stay": {
			"{\n  \"z\": \"caf\\u00e9 \\/\",\n  \"target_path\": \"/a\", \"x\":[1.0,1e3 , {}]\n}",
			set("/b", "target_path"),
			"{\n  \"z\": \"caf\\u00e9 \\/\",\n  \"target_path\": \"/b\", \"x\":[1.0,1e3 , {}]\n}",
		},
		"an equal value keeps its spelling":      {`{"a":"\u0041"}`, set("A", "a"), `{"a":"\u0041"}`},
		"null becomes an object":                 {"{\n    \"cluster\": null\n}\n", set("n1", "cluster", "node_id"), "{\n    \"cluster\": {\"node_id\":\"n1\"}\n}\n"},
		"a key is added at the end of an object": {" {\n  \"a\": 1\n}\n", set("x", "b"), " {\n  \"a\": 1\n,\"b\":\"x\"}\n"},
		"a nested key is added":                  {"{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}", set(true, "a", "c"), "{\n\t\"a\": {\n\t\t\"b\": 1\n\t,\"c\":true}\n}"},
		"a whole missing branch is added":        {"{\"a\": 1}", set("v", "b", "c"), "{\"a\": 1,\"b\":{\"c\":\"v\"}}"},
		"a key is added to an empty object":      {"{ }\n", set(7, "b"), "{ \"b\":7}\n"},
		"line ends of Windows stay":              {"{\r\n  \"a\": 1,\r\n  \"b\": 2\r\n}\r\n", set(7, "a"), "{\r\n  \"a\": 7,\r\n  \"b\": 2\r\n}\r\n"},
		"an escaped key is found":                {`{"\u0061":1}`, set("x", "a"), `{"\u0061":"x"}`},
		"keys with path characters are plain":    {`{"a.b":1,"a":{"b":2},"*":3}`, set("x", "a.b"), `{"a.b":"x","a":{"b":2},"*":3}`},
		"digits and a colon are keys":            {`{"0":{":1":2}}`, []Edit{{[]string{"0", ":1"}, 3}, {[]string{"0", "-1"}, 4}}, `{"0":{":1":3,"-1":4}}`},
		"numbers keep their spelling":            {`{"a":1.0,"b":1e400,"c":-0,"d":12345678901234567890}`, set(1, "e"), `{"a":1.0,"b":1e400,"c":-0,"d":12345678901234567890,"e":1}`},
		"what has no need of escapes has none":   {`{"a":"\u00fc"}`, set("é/<&>", "a"), `{"a":"é/<&>"}`},
		"raw JSON is taken as it is":             {`{"a":1}`, set(json.RawMessage(`{"b": [ ]}`), "a"), `{"a":{"b": [ ]}}`},
		"an object becomes null":                 {"{\n \"o\": {\n  \"a\": [\n  1]},\n \"p\": 1}", set(nil, "o"), "{\n \"o\": null,\n \"p\": 1}"},
		"several edits":                          {`{"a":1,"b":2}`, []Edit{{[]string{"b"}, "x"}, {[]string{"c"}, "y"}, {[]string{"a"}, nil}}, `{"a":null,"b":"x","c":"y"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Set([]byte(c.in), c.edits...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	cases := map[string]struct {
		in   string
		path []string
		val  any
		want error
	}{
		"no JSON":                       {`{"a":`, []string{"a"}, "x", ErrInvalid},
		"two documents":                 {`{} {}`, []string{"a"}, "x", ErrInvalid},
		"an array":                      {`[1]`, []string{"a"}, "x", ErrNotObject},
		"a text where an object should": {`{"a":"b"}`, []string{"a", "c"}, "x", ErrNotObject},
		"raw text that is not JSON":     {`{"a":1}`, []string{"a"}, json.RawMessage(`{`), ErrInvalid},
		"a key twice":                   {`{"a":1,"b":{"a":3},"a":2}`, []string{"b"}, "x", ErrDuplicate},
		"a key twice, one escaped":      {`{"a":1,"\u0061":2}`, []string{"b"}, "x", ErrDuplicate},
		"a key twice, far inside":       {`{"a":[1,{"b":{"c":1,"c":1}}]}`, []string{"a"}, "x", ErrDuplicate},
		"a byte-order mark":             {"\ufeff{}", []string{"a"}, "x", ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Set([]byte(c.in), Edit{c.path, c.val}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestGet(t *testing.T) {
	doc := []byte(`{"a":{"b":"two"},"a.b":1,"*":3}`)
	if got := Get(doc, "a", "b").Str; got != "two" {
		t.Errorf("got %q", got)
	}
	if Get(doc, "a", "c").Exists() || Get(doc, "a", "b", "c").Exists() || Get(doc, "?").Exists() {
		t.Error("found what is not there")
	}
}

func TestCheckNamesThePlace(t *testing.T) {
	for doc, want := range map[string]string{
		"{\n \"a\": x}":            "not valid JSON: line 2, column 7: invalid character 'x' looking for beginning of value",
		`{"a":1,"b":2,"a":"s3cr"}`: `JSON with the same key twice in one object: "a"`,
	} {
		if err := Check([]byte(doc)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", doc, err, want)
		}
	}
}

func FuzzSet(f *testing.F) {
	for _, doc := range []string{
		`{}`, `{"a":1}`, "{\n  \"a\": null,\n  \"b\": {\"c\": 1}\n}\n", `{"\u0061":"\ud800"}`, `{"a":1,"a":{"b":[]}}`,
		`{"a":{"b":{}},"b":"é"}`, " {\t\"b\" :\r\n{ }\n} ", `{"":{"":""}}`, `{"a":1e400,"b":-0}`,
	} {
		f.Add([]byte(doc), "a", "b", "va/l\"ue\u2028")
	}
	f.Fuzz(func(t *testing.T, doc []byte, first, second, value string) {
		edits := []Edit{{[]string{first, second}, value}, {[]string{second}, value}}
		before := bytes.Clone(doc)
		out, err := Set(doc, edits...)
		if !bytes.Equal(before, doc) {
			t.Fatal("the input was modified")
		}
		if errors.Is(err, errDiffers) {
			t.Fatalf("%s: %v", doc, err)
		}
		if err != nil {
			return
		}
		if Get(out, second).String() != value && strings.ToValidUTF8(value, "") == value {
			t.Fatalf("set %q, got %q", value, Get(out, second).String())
		}
		again, err := Set(out, edits[1])
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("a second pass changed %q to %q, error %v", out, again, err)
		}
	})
}
