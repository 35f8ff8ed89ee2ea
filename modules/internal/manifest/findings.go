package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/regular"
)

// Finding is something of the source that the copy does not have, or that is not
// the same there. A look finds it in the folders that have changed; it is kept, so
// that every run tells all of them.
type Finding struct {
	Kind   string
	Path   string // below the part
	Detail string
}

// Findings are those of a part by their folder; nil where nothing is known.
type Findings map[string][]Finding

// form is the line of a finding: folder, kind, path and detail.
const form = "%q\t%q\t%q\t%q\n"

// ReadFindings reads what earlier looks have found. A file that is missing or damaged is nil:
// then every folder is looked at.
func ReadFindings(path string) (Findings, error) {
	raw, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	all := Findings{}
	for line := range strings.Lines(string(raw)) {
		var folder string
		var one Finding
		if !strings.HasSuffix(line, "\n") {
			break // torn by a kill
		}
		if _, err := fmt.Sscanf(line, form, &folder, &one.Kind, &one.Path, &one.Detail); err != nil {
			return nil, nil
		}
		all[folder] = append(all[folder], one)
	}
	return all, nil
}

// Write keeps the findings, durably; they have to be there before the manifest
// says that their folders need no further look.
func (f Findings) Write(path string) error {
	var b bytes.Buffer
	for _, folder := range slices.Sorted(maps.Keys(f)) {
		for _, one := range f[folder] {
			b.WriteString(one.line(folder))
		}
	}
	if old, err := regular.Read(path); err == nil && bytes.Equal(old, b.Bytes()) {
		return nil
	}
	if err := durable.Write(path, b.Bytes(), nil); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return nil
}

func (f Finding) line(folder string) string {
	return fmt.Sprintf(form, folder, f.Kind, f.Path, f.Detail)
}

// Of lists the findings of one kind by path.
func (f Findings) Of(kind string) (list []Finding) {
	for _, folder := range slices.Sorted(maps.Keys(f)) {
		for _, one := range f[folder] {
			if one.Kind == kind {
				list = append(list, one)
			}
		}
	}
	return list
}

// Append adds a finding of a folder at once: a kill must not lose it once the
// folder is recorded as done.
func (f Finding) Append(path, folder string) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = out.WriteString(f.line(folder))
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		return fmt.Errorf("note finding: %w", err)
	}
	return nil
}
