package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a Go module of others that is compiled into the helper.
type module struct {
	Path, Version, Dir string
	Main               bool
}

// modulesOf lists them, those for both architectures together.
func modulesOf(root string) ([]module, error) {
	found := map[string]module{}
	for _, arch := range []string{"amd64", "arm64"} {
		list := exec.Command("go", "list", "-deps", "-json=Module,Standard", "./modules")
		list.Dir, list.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		out, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct{ Module *module }
			if err := d.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("go list: %w", err)
			}
			if p.Module != nil && !p.Module.Main {
				found[p.Module.Path] = *p.Module
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b module) int { return strings.Compare(a.Path, b.Path) }), nil
}

var licenceName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.].*)?$`)

// licences are the texts of one module, by the names of their files.
func (m module) licences() (map[string]string, error) {
	list, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, e := range list {
		if e.Type().IsRegular() && licenceName.MatchString(e.Name()) {
			raw, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
			if err != nil {
				return nil, err
			}
			texts[e.Name()] = string(raw)
		}
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s: no licence in %s", m.Path, m.Dir)
	}
	return texts, nil
}

// licencesOf are all texts in one file, and that of Go itself. It is taken from
// golang.org/x/sys, which has the same text: packages of Go (Debian's, PyPI's) leave it out.
func licencesOf(modules []module) ([]byte, error) {
	at := slices.IndexFunc(modules, func(m module) bool { return m.Path == "golang.org/x/sys" })
	if at < 0 {
		return nil, errors.New("licence of Go: golang.org/x/sys, which has the same, is not compiled in any more")
	}
	golang := module{Path: "Go (standard library and runtime)", Dir: modules[at].Dir}
	var b bytes.Buffer
	b.WriteString("cidx-helper is compiled from, beside this project's own code (LICENSE):\n")
	for _, m := range append([]module{golang}, modules...) {
		texts, err := m.licences()
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(texts)) {
			fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 79), strings.TrimSpace(m.Path+" "+m.Version+"  "+name), strings.TrimSpace(texts[name]))
		}
	}
	return b.Bytes(), nil
}

// spdx recognises the licences that occur; an unknown one ends the release.
func spdx(texts map[string]string) (string, error) {
	var all string
	for _, t := range texts {
		all += " " + strings.Join(strings.Fields(t), " ")
	}
	switch {
	case strings.Contains(all, "Apache License"):
		return "Apache-2.0", nil
	case strings.Contains(all, "Permission is hereby granted, free of charge"):
		return "MIT", nil
	case strings.Contains(all, "Neither the name") || strings.Contains(all, "endorse or promote products"):
		return "BSD-3-Clause", nil
	case strings.Contains(all, "Redistributions in binary form must reproduce"):
		return "BSD-2-Clause", nil
	}
	return "", errors.New("a licence that is not known: look whether it may be handed out")
}

// billOf is the CycloneDX bill of materials.
func billOf(version string, modules []module) ([]byte, error) {
	components := []map[string]any{}
	for _, m := range modules {
		texts, err := m.licences()
		if err != nil {
			return nil, err
		}
		id, err := spdx(texts)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		components = append(components, map[string]any{
			"type": "library", "bom-ref": purl, "name": m.Path, "version": m.Version, "purl": purl,
			"licenses": []any{map[string]any{"license": map[string]any{"id": id}}},
		})
	}
	raw, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata":   map[string]any{"component": map[string]any{"type": "application", "bom-ref": "cidx.cluster", "name": "cidx.cluster", "version": version}},
		"components": components,
	}, "", "  ")
	return append(raw, '\n'), err
}
