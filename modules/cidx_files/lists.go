package files

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	helper "cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/printable"
)

// A reply carries counts and examples; everything that was found stands in a
// file of its part: in the state folder's report/, after a rehearsal in the
// helper's folder.

// listed is the number of examples that a list in a reply holds.
const listed = 200

// line is one entry of a complete list.
type line struct{ what, path, detail string }

// lines is everything that a part's list holds.
func (j *job) lines() (all []line) {
	add := func(what, path, detail string) { all = append(all, line{what, path, detail}) }
	for _, l := range j.scan.census.leftOut {
		add("left out", filepath.Join(j.part.source, l.Path), l.Why)
	}
	for _, folder := range slices.Sorted(maps.Keys(j.part.found)) {
		for _, f := range j.part.found[folder] {
			root := j.part.source
			if f.kind == findForeign {
				root = j.part.target
			}
			add(f.kind, filepath.Join(root, f.path), f.detail)
		}
	}
	for _, path := range j.scan.census.sqlite {
		add("SQLite file", filepath.Join(j.part.source, path), "")
	}
	for _, path := range j.result.aside {
		add("moved aside", path, "")
	}
	for _, text := range j.result.repaired {
		add("copied again", text, "")
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Or(strings.Compare(a.what, b.what), strings.Compare(a.path, b.path)) })
	return all
}

// writeLists writes each part's list; the answer maps parts to files. A part
// about which there is nothing to tell has none.
func (c *copier) writeLists(r *ansible.Reply) map[string]string {
	files := map[string]string{}
	for _, j := range c.jobs {
		all := j.lines()
		if len(all) == 0 {
			continue
		}
		path, err := c.writeList(j.part.name, all)
		if err != nil {
			r.Warnings = append(r.Warnings, "the complete list of "+j.part.label+" could not be kept: "+err.Error())
			continue
		}
		files[j.part.name] = path
	}
	return files
}

func (c *copier) writeList(part string, all []line) (string, error) {
	dir, err := c.listFolder()
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	for _, l := range all {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", l.what, printable.Line(l.path), printable.Line(l.detail))
	}
	path := filepath.Join(dir, "files-"+part+".tsv")
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b.Bytes()) {
		return path, nil
	}
	return path, durable.Write(path, b.Bytes(), nil)
}

// listFolder is where lists are kept; a rehearsal writes nothing below the home.
func (c *copier) listFolder() (string, error) {
	if !c.check {
		dir := c.args.State().Report()
		return dir, durable.MakeFolder(dir)
	}
	store, err := helper.Open()
	if err != nil {
		return "", err
	}
	return store.Lists(c.args.Home)
}

// examples are the first of a list; where there are more, the last entry says
// where all of them stand.
func examples[T any](all []T, more func(string) T, file string) []T {
	if len(all) <= listed {
		return list(all)
	}
	note := fmt.Sprintf("… %d in all", len(all))
	if file != "" {
		note += ": " + file
	}
	return append(slices.Clone(all[:listed]), more(note))
}
