package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const root = "cidx-cluster/"

// TestImportArrows: main → cidx_* → internal; no module knows another one; what
// judges the tool (e2e, bench) shares nothing with it.
func TestImportArrows(t *testing.T) {
	packages := list(t)
	if len(packages) < 5 {
		t.Fatalf("found %d packages only", len(packages))
	}
	for _, p := range packages {
		for _, imported := range p.all() {
			if rule := broken(strings.TrimPrefix(p.ImportPath, root), strings.TrimPrefix(imported, root)); rule != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, rule)
			}
		}
	}
}

// broken returns the rule that an import breaks, or "".
func broken(from, to string) string {
	module, toModule := moduleOf(from), moduleOf(to)
	switch {
	case !strings.HasPrefix(from, "modules") && strings.HasPrefix(to, "modules"):
		return "e2e and bench share no code with the modules"
	case strings.HasPrefix(from, "modules") && (strings.HasPrefix(to, "e2e") || strings.HasPrefix(to, "bench")):
		return "modules share no code with e2e and bench"
	case strings.HasPrefix(from, "modules/internal") && toModule != "":
		return "internal knows no module"
	case module != "" && toModule != "" && module != toModule:
		return "a module never imports another one"
	}
	return ""
}

// moduleOf is the module folder in which a package lies, or "".
func moduleOf(path string) string {
	rest, ok := strings.CutPrefix(path, "modules/cidx_")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func TestBrokenArrowsAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string
		broken   bool
	}{
		"main imports a module":               {"modules", "modules/cidx_files", false},
		"a module imports internal":           {"modules/cidx_files", "modules/internal/tree", false},
		"a module imports its own folder":     {"modules/cidx_files", "modules/cidx_files/rsync", false},
		"a module imports another one":        {"modules/cidx_files", "modules/cidx_database", true},
		"internal imports a module":           {"modules/internal/job", "modules/cidx_files", true},
		"a test of the whole imports modules": {"e2e/judge", "modules/internal/sqlite", true},
		"a benchmark imports modules":         {"bench/files", "modules/cidx_files", true},
		"a module imports the stand-in":       {"modules/cidx_verify", "e2e/standin", true},
	} {
		t.Run(name, func(t *testing.T) {
			if rule := broken(test.from, test.to); (rule != "") != test.broken {
				t.Errorf("got %q", rule)
			}
		})
	}
}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// all are the imports of code and tests within this project.
func (p goPackage) all() []string {
	var ours []string
	for _, group := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
		for _, path := range group {
			if strings.HasPrefix(path, root) {
				ours = append(ours, path)
			}
		}
	}
	return ours
}

func list(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	command.Dir = ".."
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(out); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	return packages
}
