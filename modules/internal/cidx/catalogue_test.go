package cidx

import (
	"slices"
	"testing"
)

func TestCatalogueIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range Catalogue {
		if seen[table.Name] {
			t.Errorf("%s stands twice in the catalogue", table.Name)
		}
		seen[table.Name] = true
		if table.Copied() && table.File == "" {
			t.Errorf("%s is copied from no file", table.Name)
		}
		if table.Core && (!table.Copied() || table.File == Activated) {
			t.Errorf("%s is required, but of no database file that moves", table.Name)
		}
		for column := range table.Cipher {
			if !slices.Contains(table.Secrets, column) {
				t.Errorf("%s.%s is encrypted but not secret", table.Name, column)
			}
		}
		for _, seed := range table.Seeds {
			if len(seed) == 0 {
				t.Errorf("%s has a seed that every row matches", table.Name)
			}
		}
	}
}

func TestCataloguesFilesAreTheHomesFiles(t *testing.T) {
	migrates := map[string]bool{Activated: true}
	for _, file := range DatabaseFiles() {
		if file.Migrates {
			migrates[file.Path] = true
			continue
		}
		if SkippedFiles[file.Path] == "" {
			t.Errorf("%s does not migrate, and no reason is given", file.Path)
		}
	}
	used := map[string]bool{}
	for _, table := range Catalogue {
		if !table.Copied() {
			continue
		}
		used[table.File] = true
		if !migrates[table.File] {
			t.Errorf("%s is copied from %s, which does not migrate", table.Name, table.File)
		}
	}
	for _, file := range DatabaseFiles() {
		if file.Migrates && !slices.ContainsFunc(Catalogue, func(t Table) bool { return t.Core && t.File == file.Path }) {
			t.Errorf("no table of %s is required, so that an emptied file would pass", file.Path)
		}
	}
	for file := range migrates {
		if !used[file] {
			t.Errorf("%s migrates, but no table is copied from it", file)
		}
	}
}
