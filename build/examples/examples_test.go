// Package examples holds what docs/ shows for pipelines against the tree: the files can be
// read, and playbooks, variables and version in them exist.
package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestExamplesForPipelines(t *testing.T) {
	const root = "../.."
	paths, err := filepath.Glob(root + "/docs/examples/*.yml")
	if err != nil || len(paths) < 2 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	known := read(t, root+"/roles/common/meta/argument_specs.yml")
	version := regexp.MustCompile(`(?m)^version: (.*)$`).FindStringSubmatch(read(t, root+"/galaxy.yml"))[1]
	for _, path := range append(paths, root+"/docs/automation.md") {
		text := read(t, path)
		if strings.HasSuffix(path, ".yml") {
			var document map[string]any
			if err := yaml.Unmarshal([]byte(text), &document); err != nil || len(document) == 0 {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, name := range regexp.MustCompile(`cidx\.cluster\.(cluster_\w+)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, "playbooks", name[1]+".yml")); err != nil {
				t.Errorf("%s: no playbook %s", path, name[1])
			}
		}
		for _, name := range regexp.MustCompile("`(cidx_\\w+)`").FindAllStringSubmatch(text, -1) {
			if name[1] != "cidx_cluster" && !strings.Contains(known, "      "+name[1]+":") {
				t.Errorf("%s: no variable %s", path, name[1])
			}
		}
		for _, name := range regexp.MustCompile(`cidx-cluster-([0-9.]+)\.tar\.gz`).FindAllStringSubmatch(text, -1) {
			if name[1] != version {
				t.Errorf("%s: version %s, and this is %s", path, name[1], version)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// On a machine without apt-get, what is missing is named as Debian and as Fedora call it.
func TestAMissingToolIsNamedForDebianAndFedora(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"bash", "cat", "dirname", "head", "id", "mkdir", "readlink", "sed", "sort", "ln"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for group, want := range map[string][]string{
		"modules": {"apt-get install git", "dnf install git"},
		"core":    {"apt-get install ansible-core", "postgresql-client", "dnf install ansible-core", "procps-ng"},
	} {
		cmd := exec.Command("bash", "build/setup.sh", group)
		cmd.Dir, cmd.Env = "../..", []string{"PATH=" + folder, "HOME=" + folder}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("%s: succeeded: %s", group, out)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: %q is not in\n%s", group, w, out)
			}
		}
	}
}

// Galaxy shows a README for each role.
func TestEveryRoleHasAReadme(t *testing.T) {
	roles, err := filepath.Glob("../../roles/*")
	if err != nil || len(roles) < 5 {
		t.Fatalf("%d roles, %v", len(roles), err)
	}
	for _, role := range roles {
		if text := read(t, filepath.Join(role, "README.md")); !strings.HasPrefix(text, "# cidx.cluster."+filepath.Base(role)+"\n") {
			t.Errorf("%s: %.40q", role, text)
		}
	}
}

// What ansible-test is told to ignore is the same for all its releases, exists, and has its reason.
func TestIgnoresOfTheSanityTestsHaveReasons(t *testing.T) {
	const root = "../.."
	files, err := filepath.Glob(root + "/tests/sanity/ignore-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	text := read(t, files[0])
	for _, file := range files {
		if read(t, file) != text {
			t.Errorf("%s differs from %s", file, files[0])
		}
	}
	for line := range strings.Lines(text) {
		rule, why, _ := strings.Cut(line, " # ")
		path, check, _ := strings.Cut(rule, " ")
		if _, err := os.Stat(filepath.Join(root, path)); err != nil || check == "" || len(why) < 10 {
			t.Errorf("no such file, or no reason: %s", line)
		}
	}
	modules, err := filepath.Glob(root + "/plugins/modules/*")
	if err != nil || len(modules) < 18 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	for _, path := range modules {
		if !strings.Contains(text, "plugins/modules/"+filepath.Base(path)+" validate-modules:") {
			t.Errorf("%s: %s has no line", files[0], filepath.Base(path))
		}
	}
}
