// Package arrows holds the import arrows of docs/architecture.md:
// modules/main.go → modules/cidx_* → modules/internal/*, no module folder
// another one, and the judging side (e2e, bench) nothing below modules.
package arrows

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "cidx-cluster/"

// forbidden says why a file in folder may not import target (both relative to
// the repository); "" means it may.
func forbidden(folder, target string) string {
	part := func(p string) string {
		return strings.Join(strings.SplitN(p, "/", 3)[:min(2, strings.Count(p, "/")+1)], "/")
	}
	switch {
	case within(folder, "e2e") || within(folder, "bench"):
		if within(target, "modules") {
			return "what judges the modules shares no code with them"
		}
	case within(folder, "modules"):
		switch {
		case within(target, "e2e") || within(target, "bench"):
			return "a module knows nothing of its tests"
		case within(folder, "modules/internal") && !within(target, "modules/internal"):
			return "what modules share knows none of them"
		case ground(folder) && !ground(target):
			return "what everything stands on knows only its like"
		case engine(folder) && knowsCIDX(target):
			return "an engine knows rows or trees, not CIDX"
		case folder == "modules/internal/cidx":
			return "facts need nobody"
		case folder != "modules" && strings.HasPrefix(target, "modules/cidx_") && part(folder) != part(target):
			return "a module never imports another one"
		}
	}
	return ""
}

// ground are the packages on which the others stand: they know neither CIDX nor
// each other's users.
func ground(folder string) bool {
	switch strings.TrimPrefix(folder, "modules/internal/") {
	case "arguments", "beneath", "child", "durable", "human", "jsonfile", "libpq", "printable", "problem", "process", "program", "progress", "regular", "repath", "scratch", "seal", "secret":
		return true
	}
	return false
}

// engine are the packages that move rows and files, whoever's.
func engine(folder string) bool {
	switch strings.TrimPrefix(folder, "modules/internal/") {
	case "load", "warm", "review", "copies", "pages", "sqlite", "postgres", "convert", "digest",
		"mirror", "manifest", "rsync", "destination", "tree":
		return true
	}
	return false
}

func knowsCIDX(target string) bool {
	switch strings.TrimPrefix(target, "modules/internal/") {
	case "home", "cidx", "ansible", "plan", "origin", "keyring", "loaded", "pgcheck", "nodes", "service":
		return true
	}
	return false
}

func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

func TestImportsFollowTheArrows(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") && name != "../.." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		own := strings.TrimPrefix(filepath.ToSlash(name), "../../")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			target, ours := strings.CutPrefix(imported, module)
			if why := forbidden(path.Dir(own), target); ours && why != "" {
				t.Errorf("%s imports %s: %s", own, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d Go files found", files)
	}
}

// TestOnlyHomeReadsTheServer: what tells config.json, alias files and the registry
// apart stands in one package, and in those that judge, write or keep such files.
func TestOnlyHomeReadsTheServer(t *testing.T) {
	readers := map[string][]string{
		`"config.json"`:              {"kept", "cidx_backup"}, // its name in the record and in the transcript
		`"target_path`:               {"cidx_aliases"},
		`FROM golden_repos_metadata`: nil,
		`FROM global_repos`:          nil,
	}
	files, err := filepath.Glob("../../modules/*/*.go")
	inside, err2 := filepath.Glob("../../modules/internal/*/*.go")
	if files = append(files, inside...); err != nil || err2 != nil || len(files) < 100 {
		t.Fatal(len(files), err, err2)
	}
	for _, name := range files {
		folder := path.Base(path.Dir(filepath.ToSlash(name)))
		if strings.HasSuffix(name, "_test.go") || folder == "home" || strings.HasSuffix(folder, "test") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for text, others := range readers {
			if strings.Contains(string(source), text) && !slices.Contains(others, folder) {
				t.Errorf("%s names %s: ask home", name, text)
			}
		}
	}
}

func TestForbidden(t *testing.T) {
	tests := map[string]struct {
		folder, target string
		want           bool
	}{
		"main may import every module":              {"modules", "modules/cidx_files", false},
		"a module may import what is shared":        {"modules/cidx_files", "modules/internal/tree", false},
		"a module may import its own parts":         {"modules/cidx_database", "modules/cidx_database/catalogue", false},
		"a module may not import another":           {"modules/cidx_files", "modules/cidx_config", true},
		"a part may not import another module":      {"modules/cidx_database/load", "modules/cidx_config", true},
		"what is shared may not import a module":    {"modules/internal/tree", "modules/cidx_files", true},
		"the ground may import the ground":          {"modules/internal/problem", "modules/internal/printable", false},
		"the ground may not import what is on it":   {"modules/internal/durable", "modules/internal/cidx", true},
		"an engine knows no server":                 {"modules/internal/load", "modules/internal/home", true},
		"an engine knows no facts of CIDX":          {"modules/internal/mirror", "modules/internal/cidx", true},
		"home may import the facts":                 {"modules/internal/home", "modules/internal/cidx", false},
		"the facts import nothing":                  {"modules/internal/cidx", "modules/internal/home", true},
		"a module may not import the judging side":  {"modules/cidx_files", "e2e/seed", true},
		"the judging side may not import a module":  {"e2e/judge", "modules/internal/digest", true},
		"a benchmark may not import a module":       {"bench/files", "modules/cidx_files", true},
		"the sandbox may import the seed":           {"e2e/sandbox", "e2e/seed", false},
		"a folder that only begins alike is not in": {"e2ex", "modules/cidx_files", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := forbidden(tt.folder, tt.target); (got != "") != tt.want {
				t.Errorf("forbidden(%q, %q) = %q", tt.folder, tt.target, got)
			}
		})
	}
}
