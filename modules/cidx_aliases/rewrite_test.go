package aliases

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/jsonfile"
	"cidx-cluster/modules/internal/repath"
)

var moves = map[string]string{
	"/home/cidx/.cidx-server/data/golden-repos":    "/mnt/cidx/golden-repos",
	"/srv/cidx/data/golden-repos":                  "/mnt/cidx/golden-repos",
	"/home/cidx/.cidx-server/data/activated-repos": "/mnt/cidx/activated-repos",
}

func TestAccepted(t *testing.T) {
	files, err := filepath.Glob("testdata/accepted/*.json")
	must(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			doc, err := os.ReadFile(file)
			must(t, err)
			want, err := os.ReadFile(strings.TrimSuffix(file, ".json") + ".want")
			must(t, err)
			got, err := rewrite(doc, moves)
			must(t, err)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if len(files) < 7 {
		t.Errorf("only %d cases", len(files))
	}
}

func FuzzRewrite(f *testing.F) {
	for _, pattern := range []string{"testdata/accepted/*", "testdata/refused/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			doc, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(doc)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		got, err := rewrite(doc, moves)
		if !bytes.Equal(doc, before) {
			t.Fatal("the input was changed")
		}
		if err != nil || !json.Valid(doc) {
			return
		}
		again, err := rewrite(got, moves)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("a second pass changes %q to %q, error %v", got, again, err)
		}
		onlyPathsDiffer(t, doc, got)
	})
}

// onlyPathsDiffer compares two documents as data, with the paths put in place
// by hand, and as text, with the original paths put back.
func onlyPathsDiffer(t *testing.T, doc, got []byte) {
	var want, have any
	if json.Unmarshal(doc, &want) != nil {
		return // a number that no float can hold
	}
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatalf("%q became %q: %v", doc, got, err)
	}
	object, ok := want.(map[string]any)
	if !ok {
		if !bytes.Equal(doc, got) {
			t.Fatalf("%q became %q", doc, got)
		}
		return
	}
	text, twice := got, false
	for _, field := range []string{targetPath, previousPath} {
		if path, ok := object[field].(string); ok {
			object[field] = repath.Rewrite(path, moves)
		}
		twice = twice || bytes.Count(doc, []byte(field)) > 1 || bytes.Count(doc, []byte(`\u`)) > 0
		old, now := jsonfile.Get(doc, field), jsonfile.Get(text, field)
		if old.Type == gjson.String {
			text = append(append(bytes.Clone(text[:now.Index]), old.Raw...), text[now.Index+len(now.Raw):]...)
		}
	}
	if !reflect.DeepEqual(object, have) {
		t.Fatalf("%q became %q", doc, got)
	}
	if !twice && !bytes.Equal(text, doc) {
		t.Fatalf("%q became %q: other bytes differ", doc, got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
