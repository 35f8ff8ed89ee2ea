package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write plugins/modules/*.yml from the Go structs")

// TestDocumentation holds plugins/modules against the argument structs.
func TestDocumentation(t *testing.T) {
	for _, m := range modules() {
		t.Run(m.Doc.Name, func(t *testing.T) {
			want, err := documentation(m)
			if err != nil {
				t.Fatal(err)
			}
			base := filepath.Join("..", "plugins", "modules", m.Doc.Name)
			python := []byte("# Documented in " + m.Doc.Name + ".yml; the work is done by the action plugin and cidx-helper.\n")
			if *update {
				write(t, base+".yml", want)
				write(t, base+".py", python)
			}
			for path, content := range map[string][]byte{base + ".yml": want, base + ".py": python} {
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s differs from the Go structs (%v); run: go test ./modules -run TestDocumentation -update", path, err)
				}
			}
		})
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryModuleIsDelivered holds folders, registrations, action plugins and
// the action group against each other.
func TestEveryModuleIsDelivered(t *testing.T) {
	var registered []string
	for _, m := range modules() {
		registered = append(registered, m.Doc.Name)
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
				t.Errorf("%s does not know %s", m.Doc.Name, name)
			}
		}
		if m.Doc.Root != (m.Doc.Name == "cidx_service") {
			t.Errorf("%s: started by root, it stays root: %v", m.Doc.Name, m.Doc.Root)
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
