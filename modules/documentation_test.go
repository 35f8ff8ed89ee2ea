package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// option is an argument as plugins/modules describes it to ansible-doc.
type option struct {
	Type, Elements string
	Required       bool
	Default        string
	Choices        []string
	Description    []string
}

// documentation is what ansible-doc reads beside a module.
type documentation struct {
	Documentation struct {
		Module  string
		Options map[string]option
	} `yaml:"DOCUMENTATION"`
	Examples string `yaml:"EXAMPLES"`
}

func documented(t *testing.T, name string) (d documentation) {
	t.Helper()
	raw, err := os.ReadFile("../plugins/modules/" + name + ".yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &d); err != nil {
		t.Fatalf("%s.yml: %v", name, err)
	}
	return d
}

// TestDocumentation holds plugins/modules against the argument structs.
func TestDocumentation(t *testing.T) {
	shared := documented(t, "cidx_aliases").Documentation.Options // which has those of all modules only
	for _, m := range modules() {
		d := documented(t, m.Name)
		told, want := map[string]option{}, map[string]option{}
		for name, o := range d.Documentation.Options {
			if first, ok := shared[name]; len(o.Description) == 0 || ok && !slices.Equal(o.Description, first.Description) {
				t.Errorf("%s.yml: %s: %q, and in cidx_aliases.yml %q", m.Name, name, o.Description, first.Description)
			}
			o.Description = nil
			told[name] = o
		}
		for _, a := range m.Arguments() {
			o := option{Type: a.Type, Required: a.Required, Default: a.Default, Choices: a.Choices}
			if a.Type == "list" {
				o.Elements = "str"
			}
			want[a.Name] = o
		}
		if diff := cmp.Diff(want, told); diff != "" || d.Documentation.Module != m.Name {
			t.Errorf("%s.yml is not as the module (-) has it: %s", m.Name, diff)
		}
		var example []map[string]any
		if err := yaml.Unmarshal([]byte(d.Examples), &example); err != nil || len(example) != 1 || example[0]["cidx.cluster."+m.Name] == nil {
			t.Errorf("%s.yml: the example is no task of this module (%v)", m.Name, err)
		}
		stub, err := os.ReadFile("../plugins/modules/" + m.Name + ".py")
		if want := "# Documented in " + m.Name + ".yml; the work is done by the action plugin and cidx-helper.\n"; err != nil || string(stub) != want {
			t.Errorf("%s.py: %q (%v), but it is only: %s", m.Name, stub, err, want)
		}
	}
}

// TestEveryModuleIsDelivered holds folders, registrations, action plugins and
// the action group against each other.
func TestEveryModuleIsDelivered(t *testing.T) {
	var registered []string
	for _, m := range modules() {
		registered = append(registered, m.Name)
	}
	slices.Sort(registered)
	for what, names := range map[string][]string{
		"folders in modules/":              stems(t, "cidx_*"),
		"action plugins":                   stems(t, "../plugins/action/cidx_*.py"),
		"documentation":                    stems(t, "../plugins/modules/cidx_*.yml"),
		"action group of meta/runtime.yml": actionGroup(t),
	} {
		if !slices.Equal(names, registered) {
			t.Errorf("%s: %q, but main.go registers %q", what, names, registered)
		}
	}
}

// TestEveryStepIsTheServersUser: each takes the same user, home and share, and only
// cidx_service stays root where root has started it.
func TestEveryStepIsTheServersUser(t *testing.T) {
	for _, m := range modules() {
		var names []string
		for _, a := range m.Arguments() {
			names = append(names, a.Name)
		}
		for _, name := range []string{"home", "share", "state_dir", "service_user"} {
			if !slices.Contains(names, name) {
				t.Errorf("%s does not know %s", m.Name, name)
			}
		}
		if m.Root != (m.Name == "cidx_service") {
			t.Errorf("%s: started by root, it stays root: %v", m.Name, m.Root)
		}
	}
}

func stems(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		base := filepath.Base(p)
		paths[i] = base[:len(base)-len(filepath.Ext(base))]
	}
	slices.Sort(paths)
	return paths
}

func actionGroup(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile("../meta/runtime.yml")
	if err != nil {
		t.Fatal(err)
	}
	var runtime struct {
		Groups map[string][]string `yaml:"action_groups"`
	}
	if err := yaml.Unmarshal(raw, &runtime); err != nil {
		t.Fatal(err)
	}
	names := runtime.Groups["all"]
	slices.Sort(names)
	return names
}
