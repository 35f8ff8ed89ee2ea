package codes

import (
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write codes.tsv: new texts get a code of their words")

// TestEveryProblemHasACode keeps codes.tsv as the sources word problems and warnings. Where
// a text was changed, change it in its line, so that its code stays; new ones are added with
//
//	go test ./modules/internal/codes -run TestEveryProblemHasACode -update
func TestEveryProblemHasACode(t *testing.T) {
	found, words := textsBelow(t, "../..")
	if len(found) < 200 {
		t.Fatalf("only %d texts found", len(found))
	}
	codes := map[string]string{} // by text
	used := map[string]bool{}
	lines := map[string]int{} // by code: one thing and several may be worded differently
	for line := range strings.Lines(codesText) {
		code, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if lines[code]++; lines[code] > 2 || !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(code) {
			t.Errorf("codes.tsv: a code thrice, or none: %q", line)
		}
		codes[text], used[code] = code, true
		if slices.Contains(found, text) {
			continue
		}
		if len(strings.Trim(text, "… :;")) >= 6 && !slices.ContainsFunc(strings.Split(text, "…"), func(part string) bool { return !strings.Contains(words, strings.Trim(part, " :;")) }) {
			found = append(found, text) // composed of what the sources have
		} else if !*update {
			t.Errorf("no text of the sources any more: %s (%s); where it was worded anew, put the new words there", text, code)
		}
	}
	var all []string
	for _, text := range found {
		if codes[text] == "" {
			if !*update {
				t.Errorf("no code for: %s; run this test with -update", text)
			}
			codes[text] = slug(text, used)
			used[codes[text]] = true
		}
		all = append(all, codes[text]+"\t"+text+"\n")
	}
	if *update {
		slices.Sort(all)
		must(t, os.WriteFile("codes.tsv", []byte(strings.Join(all, "")), 0o644))
	}
}

func TestTheCodeIsOfTheTextThatFitsBest(t *testing.T) {
	list := parseWordings("a\tnot a folder\nb\t… is full\nc\tshare … is full\nd\trow …: … of … is no date\n")
	before := wordings
	wordings = list
	defer func() { wordings = before }()
	for text, want := range map[string]string{
		"not a folder": "a", "not a folder.": Other, "share /mnt is full": "c", "disk is full": "b", "row 7: x of users is no date": "d", "": Other, "row 7 is no date": Other,
	} {
		if got := Of(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

var unspoken = map[string]bool{"the": true, "a": true, "an": true, "of": true, "and": true, "it": true, "its": true, "that": true, "to": true, "this": true, "in": true, "on": true, "s": true}

// slug makes a code of a text's first words.
func slug(text string, used map[string]bool) string {
	var words []string
	for _, w := range regexp.MustCompile(`[a-z0-9]+`).FindAllString(strings.ToLower(text), -1) {
		if !unspoken[w] {
			words = append(words, w)
		}
	}
	for n := min(5, len(words)); n <= len(words); n++ {
		if code := strings.Join(words[:n], "-"); !used[code] {
			return code
		}
	}
	for n := 2; ; n++ {
		if code := fmt.Sprintf("%s-%d", strings.Join(words, "-"), n); !used[code] {
			return code
		}
	}
}

// textsBelow are the wordings of all problems and warnings that can be read off the
// sources, and all texts in them.
func textsBelow(t *testing.T, root string) (list []string, words string) {
	t.Helper()
	all := map[string]bool{}
	must(t, filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if strings.HasSuffix(dir, "test") || d.Name() == "trial" || d.Name() == "testdata" {
			return fs.SkipDir
		}
		p := newPackage(t, dir)
		words += p.words()
		for _, text := range p.texts() {
			if letters := regexp.MustCompile(`[^A-Za-z]|…`).ReplaceAllString(text, ""); len(letters) >= 8 {
				all[text] = true
			}
		}
		return nil
	}))
	for text := range all {
		list = append(list, text)
	}
	sort.Strings(list)
	return list, words
}

// words are all the texts of a package, as formats are spoken.
func (p *source) words() string {
	var b strings.Builder
	take := func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			for _, text := range p.of(&ast.FuncDecl{Body: &ast.BlockStmt{}}, e, 1) {
				b.WriteString(verb.ReplaceAllStringFunc(text, spoken) + "\n")
			}
			_, whole := e.(*ast.BinaryExpr)
			return !whole
		}
		return true
	}
	for _, f := range p.functions {
		ast.Inspect(f.Body, take)
	}
	for _, e := range p.constants {
		ast.Inspect(e, take)
	}
	return b.String()
}

// source is a package whose texts are looked for.
type source struct {
	functions []*ast.FuncDecl
	constants map[string]ast.Expr
	wrappers  map[string]int // functions that make a problem of their argument
}

func newPackage(t *testing.T, dir string) *source {
	t.Helper()
	p := &source{constants: map[string]ast.Expr{}, wrappers: map[string]int{}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Body != nil {
					p.functions = append(p.functions, d)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
						for i, n := range v.Names {
							p.constants[n.Name] = v.Values[i]
						}
					}
				}
			}
		}
	}
	for _, f := range p.functions {
		wraps(f.Type, f.Body, f.Name.Name, p.wrappers)
	}
	return p
}

// wraps notes which parameter of a function becomes What of a problem, or a warning.
func wraps(of *ast.FuncType, body ast.Node, name string, wrappers map[string]int) {
	ast.Inspect(body, func(n ast.Node) bool {
		what := whatOf(n)
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 1 {
			if last, _ := called(call.Args[0]); strings.HasSuffix(last, "arnings") {
				what = call.Args[1]
			}
		}
		if call, ok := what.(*ast.CallExpr); ok && len(call.Args) > 0 {
			what = call.Args[0] // Sprintf of a format that the caller gives
		}
		if param, ok := what.(*ast.Ident); ok {
			if i := parameter(of, param.Name); i >= 0 {
				wrappers[name] = i
			}
		}
		return true
	})
}

// closures are the functions in a function that make problems and warnings of a parameter.
func closures(f *ast.FuncDecl) map[string]int {
	local := map[string]int{}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
			name, named := a.Lhs[0].(*ast.Ident)
			if lit, ok := a.Rhs[0].(*ast.FuncLit); ok && named {
				wraps(lit.Type, lit.Body, name.Name, local)
			}
		}
		return true
	})
	return local
}

// whatOf is What of a problem, nil if n is none.
func whatOf(n ast.Node) ast.Expr {
	lit, ok := n.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "What" {
				return kv.Value
			}
		}
	}
	return nil
}

func parameter(f *ast.FuncType, name string) int {
	i := 0
	for _, field := range f.Params.List {
		for _, n := range field.Names {
			if n.Name == name {
				return i
			}
			i++
		}
	}
	return -1
}

func (p *source) texts() []string {
	var list []string
	for _, f := range p.functions {
		local := closures(f)
		add := func(e ast.Expr) { list = append(list, p.of(f, e, 4)...) }
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if what := whatOf(n); what != nil {
				add(what)
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, of := called(call.Fun)
			i, wraps := p.wrappers[name]
			if at, inside := local[name]; inside && of == "" {
				i, wraps = at, true
			}
			switch {
			case wraps && i < len(call.Args):
				add(&ast.CallExpr{Fun: &ast.Ident{Name: "Sprintf"}, Args: call.Args[i:]})
			case strings.EqualFold(name, "warn"), strings.EqualFold(name, "add") && strings.HasSuffix(of, "arnings"):
				add(&ast.CallExpr{Fun: &ast.Ident{Name: "Sprintf"}, Args: call.Args})
			case name == "append" && len(call.Args) > 1 && !call.Ellipsis.IsValid():
				if last, _ := called(call.Args[0]); strings.HasSuffix(last, "arnings") || strings.HasSuffix(f.Name.Name, "arnings") {
					for _, a := range call.Args[1:] {
						add(a)
					}
				}
			}
			return true
		})
	}
	return list
}

// called is the last name of an expression, and the one before it.
func called(e ast.Expr) (name, of string) {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name, ""
	case *ast.SelectorExpr:
		of, _ = called(x.X)
		return x.Sel.Name, of
	}
	return "", ""
}

var verb = regexp.MustCompile(`%%|%[-+# 0]*[0-9*]*(\.[0-9*]+)?(\[[0-9]+\])?[a-zA-Z]`)

func spoken(verb string) string {
	if verb == "%%" {
		return "%"
	}
	return "…"
}

// of are the texts that an expression can have, … for what is not known.
func (p *source) of(f *ast.FuncDecl, e ast.Expr, depth int) []string {
	unknown := []string{"…"}
	if depth == 0 {
		return unknown
	}
	switch x := e.(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			return []string{constant.StringVal(constant.MakeFromLiteral(x.Value, x.Kind, 0))}
		}
	case *ast.ParenExpr:
		return p.of(f, x.X, depth)
	case *ast.BinaryExpr:
		var list []string
		for _, a := range p.of(f, x.X, depth) {
			for _, b := range p.of(f, x.Y, depth) {
				list = append(list, strings.ReplaceAll(a+b, "……", "…"))
			}
		}
		return list
	case *ast.CallExpr:
		if name, _ := called(x.Fun); name == "Sprintf" && len(x.Args) > 0 {
			var list []string
			for _, format := range p.of(f, x.Args[0], depth) {
				list = append(list, strings.ReplaceAll(verb.ReplaceAllStringFunc(format, spoken), "……", "…"))
			}
			return list
		}
		return p.answered(f, x, depth)
	case *ast.Ident:
		if value := p.constants[x.Name]; value != nil {
			return p.of(f, value, depth-1)
		}
		values, longer := assigned(f, x.Name)
		var list []string
		for _, v := range values {
			for _, text := range p.of(f, v, depth-1) {
				list = append(list, text)
				if longer {
					list = append(list, strings.TrimSuffix(text, "…")+"…")
				}
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return unknown
}

func isCount(call *ast.CallExpr) bool {
	name, of := called(call.Fun)
	return name == "Count" && of == "human"
}

// answered are the texts that a call can return: of human.Count, and of the package's own functions that return one.
func (p *source) answered(f *ast.FuncDecl, call *ast.CallExpr, depth int) (list []string) {
	name, of := called(call.Fun)
	if isCount(call) {
		for _, words := range call.Args[1:] {
			for _, text := range p.of(f, words, depth) {
				list = append(list, "… "+text)
			}
		}
		return list
	}
	for _, other := range p.functions {
		if other.Name.Name != name || of != "" {
			continue
		}
		ast.Inspect(other.Body, func(n ast.Node) bool {
			if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
				if counted, ok := r.Results[0].(*ast.CallExpr); ok && isCount(counted) {
					list = append(list, p.answered(other, counted, depth)...)
				}
			}
			return true
		})
	}
	if len(list) == 0 {
		return []string{"…"}
	}
	return list
}

// assigned are the values that a function gives a variable, and whether something is added to them.
func assigned(f *ast.FuncDecl, name string) (list []ast.Expr, longer bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
			for i, l := range a.Lhs {
				if id, ok := l.(*ast.Ident); !ok || id.Name != name {
					continue
				}
				if a.Tok == token.ADD_ASSIGN {
					longer = true
				} else {
					list = append(list, a.Rhs[i])
				}
			}
		}
		return true
	})
	return list, longer
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
