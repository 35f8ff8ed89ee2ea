package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/durable"
)

// finding is something of the source that the copy does not have, or that does
// not work on other nodes. A look finds it in the folders that have changed; it
// is kept, so that every run tells all of them.
type finding struct {
	kind   string
	path   string // below the part
	detail string
	after  string // of a path that is changed in the copy
}

// Kinds of findings.
const (
	findAttributes = "attributes not copied"
	findOutside    = "points out of the copied folders"
	findHardLink   = "hard link that became a file of its own"
	findMended     = "path changed in the copy"
	findForeign    = "on the share, not ours" // path is below the part's folder on the share
)

// findings are those of a part by their folder; nil where nothing is known.
type findings map[string][]finding

func findingsPath(s cidx.State, part string) string {
	return filepath.Join(s.Files(), part+".findings")
}

// readFindings reads what earlier looks have found. A line is folder, kind, path,
// detail and what comes after, each quoted as in Go, with tabs between. A file that is missing or
// damaged is nil: then every folder is looked at.
func readFindings(s cidx.State, part string) (findings, error) {
	raw, err := os.ReadFile(findingsPath(s, part))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	all := findings{}
	for line := range strings.Lines(string(raw)) {
		folder, one, ok := parseFinding(line)
		if !ok && strings.HasSuffix(line, "\n") {
			return nil, nil
		}
		if ok { // the last one may be torn by a kill
			all[folder] = append(all[folder], one)
		}
	}
	return all, nil
}

func parseFinding(line string) (folder string, one finding, ok bool) {
	fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
	if len(fields) != 5 || !strings.HasSuffix(line, "\n") {
		return "", one, false
	}
	for i := range fields {
		text, err := strconv.Unquote(fields[i])
		if err != nil {
			return "", one, false
		}
		fields[i] = text
	}
	return fields[0], finding{fields[1], fields[2], fields[3], fields[4]}, true
}

// write keeps the findings, durably; they have to be there before the manifest
// says that their folders need no further look.
func (f findings) write(s cidx.State, part string) error {
	var b bytes.Buffer
	for _, folder := range sortedKeys(f) {
		for _, one := range f[folder] {
			b.WriteString(one.line(folder))
		}
	}
	path := findingsPath(s, part)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b.Bytes()) {
		return nil
	}
	if err := durable.Write(path, b.Bytes(), nil); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return nil
}

func (f finding) line(folder string) string {
	return fmt.Sprintf("%q\t%q\t%q\t%q\t%q\n", folder, f.kind, f.path, f.detail, f.after)
}

// of lists the findings of one kind by path.
func (f findings) of(kind string) (list []finding) {
	for _, folder := range sortedKeys(f) {
		for _, one := range f[folder] {
			if one.kind == kind {
				list = append(list, one)
			}
		}
	}
	return list
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// warnings tell the findings: each kind at most as often as somebody reads.
func (p *part) warnings(file string) (list []string) {
	if all := p.found.of(findAttributes); len(all) > 0 {
		list = append(list, fmt.Sprintf("%s: %s ACLs, file capabilities or extended attributes, which are not copied, among them %s (%s)%s",
			p.source, have(len(all)), all[0].path, all[0].detail, seeFile(len(all), 1, file)))
	}
	outside := p.found.of(findOutside)
	for _, one := range outside[:min(len(outside), spelled)] {
		list = append(list, fmt.Sprintf("%s: points out of the copied folders: %s; other nodes do not have it", filepath.Join(p.source, one.path), one.detail))
	}
	if len(outside) > spelled {
		list = append(list, fmt.Sprintf("%s: %d entries point out of the copied folders%s", p.source, len(outside), seeFile(len(outside), spelled, file)))
	}
	if all := p.found.of(findHardLink); len(all) > 0 {
		list = append(list, fmt.Sprintf("the share keeps no hard links: %s and %d others become files of their own%s", filepath.Join(p.source, all[0].path), len(all)-1, seeFile(len(all), 1, file)))
	}
	return list
}

// spelled is how many warnings of a kind are spelled out.
const spelled = 20

func have(n int) string {
	if n == 1 {
		return "1 entry has"
	}
	return fmt.Sprintf("%d entries have", n)
}

// seeFile points at the complete list where not all of it was told.
func seeFile(n, shown int, file string) string {
	if n <= shown || file == "" {
		return ""
	}
	return "; all of them: " + file
}
