// Command release makes what is handed out: the collection as a tarball that is the
// same, byte for byte, wherever and whenever it is made of the same commit; the
// licences of everything that is compiled into the helper, a bill of materials
// (CycloneDX) and SHA256SUMS. Only what git tracks and the helper get into the
// collection: a local inventory, a vault or a report cannot.
//
//	go run ./build/release [-out FOLDER]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const largest = 20 << 20 // Galaxy's limit for a collection

func main() {
	out := flag.String("out", ".build/collection", "folder for the files of the release")
	flag.Parse()
	files, err := release(".", *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
	for _, f := range files {
		fmt.Println(f)
	}
}

// release builds the collection of root and returns the files that it has made in out.
func release(root, out string) ([]string, error) {
	version, err := versionOf(filepath.Join(root, "galaxy.yml"))
	if err != nil {
		return nil, err
	}
	modules, err := modulesOf(root)
	if err != nil {
		return nil, err
	}
	staged, err := os.MkdirTemp("", "cidx-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(staged)
	if err := stage(root, staged); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	bill, err := billOf(version, modules)
	if err != nil {
		return nil, err
	}
	licences, err := licencesOf(modules)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"sbom.cdx.json": bill, "THIRD-PARTY-LICENSES.txt": licences} {
		if err := os.WriteFile(filepath.Join(staged, "files", name), content, 0o644); err != nil {
			return nil, err
		}
	}
	packed, err := collection(staged)
	if err != nil {
		return nil, err
	}
	if len(packed) > largest {
		return nil, fmt.Errorf("the tarball has %d bytes, and %d are allowed", len(packed), largest)
	}
	name := "cidx-cluster-" + version
	return publish(out, []published{{name + ".tar.gz", packed}, {name + ".cdx.json", bill}, {name + "-THIRD-PARTY-LICENSES.txt", licences}})
}

// versionOf reads the only place in which the version stands.
func versionOf(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if version, ok := strings.CutPrefix(line, "version: "); ok {
			return strings.TrimSpace(version), nil
		}
	}
	return "", fmt.Errorf("%s: no version", path)
}

// stage copies what git tracks and the helper.
func stage(root, to string) error {
	list := exec.Command("git", "ls-files", "-z", "--cached")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	helper, err := filepath.Glob(filepath.Join(root, "files", "cidx-helper*"))
	if err != nil || len(helper) == 0 {
		return fmt.Errorf("the helper is not built: run 'make modules' first")
	}
	for _, path := range helper {
		names = append(names, filepath.Join("files", filepath.Base(path)))
	}
	for _, name := range names {
		from := filepath.Join(root, name)
		info, err := os.Lstat(from)
		if err != nil || !info.Mode().IsRegular() { // removed since; the link in collections/
			continue
		}
		raw, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}
