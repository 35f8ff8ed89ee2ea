package results

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestPageIsMadeInPieces(t *testing.T) {
	dir := t.TempDir()
	table := Table[int]{Kept: filepath.Join(dir, "kept.json"), Page: filepath.Join(dir, "page.md"), Write: func(rows map[string]int) string { return fmt.Sprint(rows) }}
	record := func(doc, name string, row int) {
		t.Helper()
		t.Setenv("LAB_DOC", doc)
		if err := table.Record(name, row); err != nil {
			t.Fatal(err)
		}
	}
	record("", "first", 1)
	if _, err := os.Stat(table.Page); !os.IsNotExist(err) {
		t.Errorf("a page without LAB_DOC: %v", err)
	}
	record("1", "second", 2)
	record("1", "first", 3)
	page, err := os.ReadFile(table.Page)
	if want := "map[first:3 second:2]"; err != nil || string(page) != want {
		t.Errorf("the page is %q, want %q (%v)", page, want, err)
	}
}

func TestRowsThatCannotBeReadStay(t *testing.T) {
	dir := t.TempDir()
	table := Table[int]{Kept: filepath.Join(dir, "kept.json"), Page: filepath.Join(dir, "page.md")}
	if err := os.WriteFile(table.Kept, []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := table.Record("first", 1); err == nil {
		t.Error("no error")
	}
	if kept, err := os.ReadFile(table.Kept); err != nil || string(kept) != "{broken" {
		t.Errorf("kept is %q (%v)", kept, err)
	}
}
