package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// checkout is a copy of what git tracks here, with a helper, in a repository of its own.
func checkout(t *testing.T, stamp time.Time) string {
	t.Helper()
	dir := t.TempDir()
	if helper, _ := filepath.Glob("../../files/cidx-helper*"); len(helper) == 0 {
		t.Skip("the helper is not built: make modules")
	}
	if err := stage("../..", dir); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"init", "-q"}, {"add", "-A"}} {
		cmd := exec.Command("git", words...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", words, err, out)
		}
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, stamp, stamp)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestTheSameSourcesGiveTheSameBytes(t *testing.T) {
	var made [2][]byte
	for i := range made {
		out := t.TempDir()
		files, err := release(checkout(t, time.Unix(int64(1_700_000_000+86_400*i), 0)), out)
		if err != nil {
			t.Fatal(err)
		}
		if made[i], err = os.ReadFile(files[0]); err != nil {
			t.Fatal(err)
		}
		sums := exec.Command("sha256sum", "-c", "SHA256SUMS")
		sums.Dir = out
		if text, err := sums.CombinedOutput(); err != nil {
			t.Errorf("SHA256SUMS: %v: %s", err, text)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two tarballs of the same sources differ")
	}
}

func TestNothingOfTheOperatorsGetsIntoTheCollection(t *testing.T) {
	dir := checkout(t, time.Now())
	local := []string{
		"inventory/prod/hosts.yml", "inventory/prod/group_vars/all/main.yml", "inventory/example-mine/hosts.yml", "inventory/example/group_vars/all/vault.yml",
		"inventory/example/host_vars/node1/vault.yml", "inventory/example/host_vars/node1/main.yml", "reports/node1/latest/report.json", "vault.yml", ".vault-password", "vault-pass.txt", "hosts.retry",
	}
	for _, name := range local {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("secret-of-the-operator"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status := exec.Command("git", "status", "--porcelain", "--untracked-files=all")
	status.Dir = dir
	out, err := status.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "??") {
			t.Errorf("git would take %s", line[3:])
		}
	}
	// ansible-galaxy itself, without our staging.
	packed, err := collection(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range packedEntries(t, packed) {
		if bytes.Contains(e.content, []byte("secret-of-the-operator")) {
			t.Errorf("the collection holds %s", name)
		}
	}
}

func packedEntries(t *testing.T, packed []byte) map[string]entry {
	t.Helper()
	path := filepath.Join(t.TempDir(), "collection.tar.gz")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := unpack(path)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestEverythingCompiledInIsNamedWithItsLicence(t *testing.T) {
	modules, err := modulesOf("../..")
	if err != nil {
		t.Fatal(err)
	}
	bill, err := billOf("1.2.3", modules)
	if err != nil {
		t.Fatal(err)
	}
	licences, err := licencesOf(modules)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		BomFormat  string
		Components []struct{ Name, Purl string }
	}
	if err := json.Unmarshal(bill, &read); err != nil || read.BomFormat != "CycloneDX" || len(read.Components) != len(modules) {
		t.Errorf("the bill names %d of %d modules: %v", len(read.Components), len(modules), err)
	}
	for _, m := range modules {
		if !strings.Contains(string(licences), fmt.Sprintf("%s %s  ", m.Path, m.Version)) {
			t.Errorf("no licence of %s", m.Path)
		}
	}
}

// The version stands in galaxy.yml; what repeats it has to agree.
func TestTheVersionIsTheChangelogs(t *testing.T) {
	version, err := versionOf("../../galaxy.yml")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "## ["+version+"]") {
		t.Errorf("CHANGELOG.md has no heading for %s", version)
	}
}
