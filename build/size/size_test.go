// Package size holds how large modules/ is, tests and what only they use left out, and the Ansible side.
// The numbers may only go down: whoever makes one smaller lowers it here.
package size

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"
)

// measure is one number, with what counts into it, the largest first.
type measure struct {
	number int
	names  []string
}

func TestModulesGetNoLarger(t *testing.T) {
	m := measured(t, "../../modules")
	m["lines of YAML"], m["lines of Python"] = ansible(t)
	for _, bar := range []struct {
		name        string
		today, goal int
	}{
		{"lines", 44_340, 26_000},
		{"methods of the largest type", 35, 35},
		{"functions over 50 lines", 0, 0},
		{"files over 300 lines", 0, 0},
		{"packages over 1500 lines", 2, 2},
		{"lines over 140 columns", 0, 0},
		{"lines of YAML", 650, 650},
		{"lines of Python", 555, 350},
	} {
		got := m[bar.name]
		if got.number > bar.today {
			t.Errorf("%s: %d, and it was %d; the goal is %d\n\t%s", bar.name, got.number, bar.today, bar.goal, strings.Join(got.names, "\n\t"))
		}
		if got.number < bar.today {
			t.Logf("%s: %d; put it into this test in place of %d", bar.name, got.number, bar.today)
		}
	}
}

func measured(t *testing.T, root string) map[string]measure {
	t.Helper()
	var lines int
	var functions, files, wide []string
	methods, packages := map[string]int{}, map[string]int{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasSuffix(name, "test") || d.Name() == "trial" || d.Name() == "testdata") {
			return fs.SkipDir // of tests alone
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		own := strings.TrimPrefix(name, "../../")
		n := bytes.Count(source, []byte("\n"))
		lines += n
		packages[filepath.Dir(own)] += n
		if n > 300 {
			files = append(files, fmt.Sprintf("%5d %s", n, own))
		}
		for i, line := range strings.Split(string(source), "\n") {
			if columns := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); columns > 140 {
				wide = append(wide, fmt.Sprintf("%5d %s:%d", columns, own, i+1))
			}
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > 50 {
				functions = append(functions, fmt.Sprintf("%5d %s: %s", n, own, f.Name.Name))
			}
			if f.Recv != nil {
				methods[filepath.Dir(own)+"."+receiver(f.Recv.List[0].Type)]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines < 10_000 {
		t.Fatalf("only %d lines found", lines)
	}
	large := over(methods, 0)
	var most int
	fmt.Sscan(large[0], &most)
	heavy := over(packages, 1500)
	return map[string]measure{
		"lines":                       {lines, over(packages, 0)},
		"methods of the largest type": {most, large[:min(3, len(large))]},
		"functions over 50 lines":     {len(functions), sorted(functions)},
		"files over 300 lines":        {len(files), sorted(files)},
		"packages over 1500 lines":    {len(heavy), heavy},
		"lines over 140 columns":      {len(wide), sorted(wide)},
	}
}

// ansible counts roles and playbooks without the declarations of their variables, and all Python but that of peers in bench/.
func ansible(t *testing.T) (yaml, python measure) {
	t.Helper()
	count := func(m *measure, name string) {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(source, []byte("\n"))
		m.number += n
		m.names = append(m.names, fmt.Sprintf("%5d %s", n, strings.TrimPrefix(name, "../../")))
	}
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		own := strings.TrimPrefix(name, "../../")
		switch {
		case err != nil:
			return err
		case d.IsDir() && own != name && (own == "bench" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case strings.HasSuffix(own, ".py"):
			count(&python, name)
		case strings.HasSuffix(own, ".yml") && d.Name() != "argument_specs.yml" && (strings.HasPrefix(own, "roles/") || strings.HasPrefix(own, "playbooks/")):
			count(&yaml, name)
		}
		return nil
	})
	if err != nil || yaml.number < 300 || python.number < 100 {
		t.Fatalf("%d lines of YAML, %d of Python, %v", yaml.number, python.number, err)
	}
	sorted(yaml.names)
	sorted(python.names)
	return yaml, python
}

// over lists the names that count more than bar.
func over(counts map[string]int, bar int) []string {
	var list []string
	for name, n := range counts {
		if n > bar {
			list = append(list, fmt.Sprintf("%5d %s", n, name))
		}
	}
	return sorted(list)
}

func sorted(list []string) []string {
	sort.Sort(sort.Reverse(sort.StringSlice(list)))
	return list
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return "?"
}
