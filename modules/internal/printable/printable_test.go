package printable

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestLine(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain text":                 {"a b/ü 日本 €.txt", "a b/ü 日本 €.txt"},
		"a line of its own":          {"x\nMigration complete!", `x\nMigration complete!`},
		"carriage return, tab":       {"a\rb\tc", `a\rb\tc`},
		"title of the terminal":      {"\x1b]0;owned\x07", `\x1b]0;owned\x07`},
		"clear screen":               {"\x1b[2J", `\x1b[2J`},
		"the same with C1":           {"\u009b2J\u009d0;t\u009c", `\u009b2J\u009d0;t\u009c`},
		"C1 as a byte":               {"a\x9b2J", `a\x9b2J`},
		"backspace, NUL, DEL":        {"a\b\x00\x7f", `a\x08\x00\x7f`},
		"line and paragraph":         {"a\u2028b\u2029c\u0085d", `a\u2028b\u2029c\u0085d`},
		"override":                   {"gpj.\u202eexe\u202c", `gpj.\u202eexe\u202c`},
		"isolates and marks":         {"\u2066a\u2069\u200e\u200f\u061c", `\u2066a\u2069\u200e\u200f\u061c`},
		"invisible":                  {"a\u200bb\ufeff\U000e0041", `a\u200bb\ufeff\U000e0041`},
		"not UTF-8":                  {"caf\xe9 \xff", `caf\xe9 \xff`},
		"a cut character":            {"\xe2\x80", `\xe2\x80`},
		"the replacement itself":     {"\ufffd", "\ufffd"},
		"joiners that scripts need":  {"می\u200cخواهم 👩\u200d👧", "می\u200cخواهم 👩\u200d👧"},
		"backslashes stay":           {`C:\n`, `C:\n`},
		"spaces of other widths too": {"1\u202f234\u00a0", "1\u202f234\u00a0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := Text("a\n\tb\x1b\r\n"); got != "a\n\tb\\x1b\\r\n" {
		t.Errorf("text: %q", got)
	}
}

func TestJSONKeepsTheValues(t *testing.T) {
	want := "\u009b2J \u202e \u2028 \x7f ü \U000e0041 \n"
	raw, err := json.MarshalIndent(map[string]string{"a": want}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	safe := JSON(raw)
	var got map[string]string
	if err := json.Unmarshal(safe, &got); err != nil || got["a"] != want {
		t.Errorf("%v %q", err, got)
	}
	if Text(string(safe)) != string(safe) {
		t.Errorf("hostile characters left: %q", safe)
	}
}

func TestEach(t *testing.T) {
	type inner struct {
		Name   string
		hidden string
	}
	in := map[string]any{"a": []inner{{"x\n", "y\n"}}, "b": &inner{Name: "\x1b"}, "c": []byte("\n"), "n": 1, "nil": nil, "l": [1]string{"\xff"}}
	got := Each(in, Line).(map[string]any)
	want := map[string]any{"a": []inner{{`x\n`, "y\n"}}, "b": &inner{Name: `\x1b`}, "c": []byte("\n"), "n": 1, "nil": nil, "l": [1]string{`\xff`}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(inner{})); diff != "" {
		t.Error(diff)
	}
	if in["b"].(*inner).Name != "\x1b" {
		t.Error("the original was changed")
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, hostile) || Line(got) != got {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}
