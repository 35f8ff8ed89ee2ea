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
	"cidx-cluster/modules/internal/mirror"
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
	for _, l := range j.Scan.Census.Omitted {
		add("left out", filepath.Join(j.part.Source, l.Path), l.Why)
	}
	for _, folder := range slices.Sorted(maps.Keys(j.part.Found)) {
		for _, f := range j.part.Found[folder] {
			root := j.part.Source
			if f.Kind == mirror.Foreign {
				root = j.part.Target
			}
			add(f.Kind, filepath.Join(root, f.Path), f.Detail)
		}
	}
	for _, path := range j.seen().sqlite {
		add("SQLite file", filepath.Join(j.part.Source, path), "")
	}
	for _, path := range j.Result.Aside {
		add("moved aside", path, "")
	}
	for _, text := range j.Result.Repaired {
		add("copied again", text, "")
	}
	slices.SortStableFunc(all, func(a, b line) int { return cmp.Or(strings.Compare(a.what, b.what), strings.Compare(a.path, b.path)) })
	return all
}

// writeLists writes each part's list; the answer maps parts to files. A part
// about which there is nothing to tell has none.
func (c *step) writeLists(r *ansible.Reply) map[string]string {
	files := map[string]string{}
	for _, j := range c.jobs {
		all := j.lines()
		if len(all) == 0 {
			continue
		}
		path, err := c.writeList(j.part.Name, all)
		if err != nil {
			r.Warnings = append(r.Warnings, "the complete list of "+j.part.label+" could not be kept: "+err.Error())
			continue
		}
		files[j.part.Name] = path
	}
	return files
}

func (c *step) writeList(part string, all []line) (string, error) {
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
func (c *step) listFolder() (string, error) {
	if !c.Check {
		dir := c.args.State().Report()
		return dir, durable.MakeFolder(dir)
	}
	store, err := helper.Open()
	if err != nil {
		return "", err
	}
	return store.Lists(c.args.Home)
}

// extend adds to a list of a reply the first of what there is of a part; where
// there is more, the last entry says where all of it stands.
func extend[T any](data map[string]any, name string, all []T, more func(string) T, file string) int {
	data[name] = append(data[name].([]T), all[:min(listed, len(all))]...)
	if len(all) > listed {
		note := fmt.Sprintf("… %d in all", len(all))
		if file != "" {
			note += ": " + file
		}
		data[name] = append(data[name].([]T), more(note))
	}
	return len(all)
}
