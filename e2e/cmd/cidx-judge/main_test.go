package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHashThenSame(t *testing.T) {
	t.Setenv("CIDX_POSTGRES_DSN", "")
	home, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(context.Background(), args, &out, io.Discard)
		return out.String(), err
	}
	if out, err := ask("hash", "-home", home, "-out", state); err != nil || out != "" {
		t.Fatal(out, err)
	}
	if out, err := ask("same", "-home", home, "-before", state); err != nil || !strings.HasSuffix(out, "EQUAL\n") {
		t.Fatalf("untouched: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := ask("same", "-home", home, "-before", state, "-json")
	var report struct {
		Equal       bool
		Different   map[string]int
		Differences []struct{ Name string }
	}
	if !errors.Is(err, errDifferent) || json.Unmarshal([]byte(out), &report) != nil || report.Equal ||
		report.Different["home"] == 0 || report.Differences[0].Name != "home/config.json" {
		t.Fatalf("changed: %v: %s", err, out)
	}
	if _, err := ask("same", "-home", home, "-before", state, "-except", "other,home/config.json"); err != nil {
		t.Fatalf("changed, but excepted: %v", err)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Setenv("CIDX_POSTGRES_DSN", "")
	tests := map[string]struct {
		args []string
		want string
	}{
		"no command":            {nil, "usage"},
		"an unknown command":    {[]string{"judge"}, `"judge"`},
		"no home":               {[]string{"hash", "-out", "x"}, "-home: missing"},
		"an unknown part":       {[]string{"equal", "-home", "/h", "-share", "/s", "-only", "rows"}, `"rows"`},
		"tables without a DSN":  {[]string{"equal", "-home", "/h", "-share", "/s"}, "CIDX_POSTGRES_DSN"},
		"an unknown attribute":  {[]string{"equal", "-home", "/h", "-share", "/s", "-only", "files", "-ignore", "size"}, `"size"`},
		"a word too many":       {[]string{"hash", "-home", "/h", "-out", "x", "y"}, `"y"`},
		"a home without a tree": {[]string{"equal", "-home", t.TempDir(), "-share", "/s", "-only", "files"}, "find repositories"},
	}
	for name, test := range tests {
		err := run(context.Background(), test.args, io.Discard, io.Discard)
		if err == nil || errors.Is(err, errDifferent) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, test.want)
		}
	}
}
