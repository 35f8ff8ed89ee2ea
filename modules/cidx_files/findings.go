package files

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
)

// finding is something of the source that the copy does not have, or that does
// not work on other nodes. A look finds it in the folders that have changed; it
// is kept, so that every run tells all of them.
type finding struct {
	kind   string
	path   string // below the part
	detail string
}

// Kinds of findings.
const (
	findAttributes = "attributes not copied"
	findOutside    = "points out of the copied folders"
	findHardLink   = "hard link that became a file of its own"
	findServed     = "served by the link in the folder's old place"
	findForeign    = "on the share, not ours" // path is below the part's folder on the share
)

// findings are those of a part by their folder; nil where nothing is known.
type findings map[string][]finding

func findingsPath(s home.State, part string) string {
	return filepath.Join(s.Files(), part+".findings")
}

// readFindings reads what earlier looks have found. A line is folder, kind, path
// and detail, each quoted as in Go, with tabs between. A file that is missing or damaged is nil:
// then every folder is looked at.
func readFindings(s home.State, part string) (findings, error) {
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
	if len(fields) != 4 || !strings.HasSuffix(line, "\n") {
		return "", one, false
	}
	for i := range fields {
		text, err := strconv.Unquote(fields[i])
		if err != nil {
			return "", one, false
		}
		fields[i] = text
	}
	return fields[0], finding{fields[1], fields[2], fields[3]}, true
}

// write keeps the findings, durably; they have to be there before the manifest
// says that their folders need no further look.
func (f findings) write(s home.State, part string) error {
	var b bytes.Buffer
	for _, folder := range slices.Sorted(maps.Keys(f)) {
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
	return fmt.Sprintf("%q\t%q\t%q\t%q\n", folder, f.kind, f.path, f.detail)
}

// of lists the findings of one kind by path.
func (f findings) of(kind string) (list []finding) {
	for _, folder := range slices.Sorted(maps.Keys(f)) {
		for _, one := range f[folder] {
			if one.kind == kind {
				list = append(list, one)
			}
		}
	}
	return list
}

// warnings tell the findings: one line a kind, with the repositories in which
// they are, an example, and the file that has them all.
func (p *part) warnings(file string) (list []string) {
	for _, kind := range []string{findAttributes, findOutside, findServed, findHardLink} {
		all := p.found.of(kind)
		if len(all) == 0 {
			continue
		}
		text := p.source + ": " + numbered(kind, len(all)) + " (" + p.spread(all) + ")"
		if holders := holders(all); holders != "" {
			text += ": " + holders
		}
		text += fmt.Sprintf("; among them %s", filepath.Join(p.source, all[0].path))
		if all[0].detail != "" {
			text += " (" + all[0].detail + ")"
		}
		list = append(list, text+seeFile(file))
	}
	return list
}

// numbered says how many findings of a kind there are, and what that means.
func numbered(kind string, n int) string {
	switch kind {
	case findAttributes:
		return human.Count(n, "entry has ACLs, file capabilities or extended attributes, which are not copied",
			"entries have ACLs, file capabilities or extended attributes, which are not copied")
	case findOutside:
		return human.Count(n, "path points out of the copied folders, to what other nodes do not have",
			"paths point out of the copied folders, to what other nodes do not have")
	case findServed:
		return human.Count(n, "absolute path leads into the folders that move; it is copied as it is, and the link in the old place serves it",
			"absolute paths lead into the folders that move; they are copied as they are, and the links in the old places serve them")
	default:
		return human.Count(n, "hard link becomes a file of its own, since the share keeps none", "hard links become files of their own, since the share keeps none")
	}
}

// spread says how many findings each repository has: "flask 12, billing 3".
func (p *part) spread(all []finding) string {
	counts := map[string]int{}
	for _, f := range all {
		counts[cmp.Or(p.repository(f.path), "outside of repositories")]++
	}
	return tally(counts)
}

// holders counts findings by what holds the path: "12 symbolic links, 3 git's config".
func holders(all []finding) string {
	counts := map[string]int{}
	for _, f := range all {
		holder, _, ok := strings.Cut(f.detail, " has /")
		if !ok {
			if holder, _, ok = strings.Cut(f.detail, " to /"); !ok {
				continue
			}
		}
		counts[holder]++
	}
	return tally(counts)
}

// tallied is how many names a tally spells out.
const tallied = 5

// tally lists counts by name, the largest first.
func tally(counts map[string]int) string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	var words []string
	for i, name := range names {
		if i == tallied && len(names) > tallied+1 {
			rest := 0
			for _, other := range names[i:] {
				rest += counts[other]
			}
			words = append(words, fmt.Sprintf("%d others %d", len(names)-i, rest))
			break
		}
		words = append(words, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(words, ", ")
}

// seeFile points at the complete list.
func seeFile(file string) string {
	if file == "" {
		return ""
	}
	return "; all of them: " + file
}
