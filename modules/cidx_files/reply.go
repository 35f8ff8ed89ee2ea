package files

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/durable"
	"cidx-cluster/modules/internal/human"
	helper "cidx-cluster/modules/internal/job"
	"cidx-cluster/modules/internal/mirror"
	"cidx-cluster/modules/internal/printable"
	"cidx-cluster/modules/internal/problem"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/tree"
)

// census is what the parts hold, for a reply.
type census struct {
	*mirror.Census
	Repositories int `json:"repositories"`
	SQLite       int `json:"sqlite"`
}

// tell prints a part's lines.
func (c *step) tell(ctx context.Context, j *job) {
	s, n := j.Scan.Census, j.seen().repositories
	if !c.Live {
		noun := nouns[j.part.Name]
		progress.Line(ctx, "  %s, %s total ... done", human.Count(n, noun[0], noun[1]), human.Bytes(s.Bytes))
		return
	}
	if j.told {
		return // a further round of a warm pass
	}
	j.told = true
	bytes, seconds, rate := j.Result.CopiedBytes.Load(), j.Took.Seconds(), ""
	if seconds > 0 && bytes > 0 {
		rate = ", " + human.Bytes(float64(bytes)/seconds) + "/s"
	}
	files := human.Count(j.Result.CopiedFiles.Load(), "file", "files")
	progress.Line(ctx, "  %s %s, %s copied in %s%s", j.part.label, files, human.Bytes(bytes), human.Seconds(seconds), rate)
}

// reply is what the run has found and done so far.
func (c *step) reply() ansible.Reply {
	all := &census{Census: mirror.NewCensus()}
	parts, counts := map[string]any{}, map[string]any{}
	r := ansible.Reply{Data: map[string]any{
		"parts": parts, "census": all, "share": c.info, "phase": c.args.Phase, "lists": counts,
		"foreign": []string{}, "repaired": []string{}, "aside": []string{}, "sqlite": []string{},
		"paths": []mirror.Omission{}, "left_out": []mirror.Omission{}, "git": []gitCheck{},
	}}
	files := c.writeLists(&r)
	asides, foreigns := 0, 0
	for _, j := range c.jobs {
		all.Add(j.Scan.Census)
		all.Repositories += j.seen().repositories
		all.SQLite += len(j.seen().sqlite)
		parts[j.part.Name] = j.summary()
		r.Changed = r.Changed || j.Result.Writes.Load() > 0
		r.Warnings = append(append(r.Warnings, j.Result.Warnings...), j.part.warnings(files[j.part.Name])...)
		n := j.lists(r.Data, files[j.part.Name])
		counts[j.part.Name], asides, foreigns = n, asides+n["aside"].(int), foreigns+n["foreign"].(int)
	}
	if c.lost != nil {
		r.Warnings = append(r.Warnings, fmt.Sprintf("writes to the share were lost before this run (%s), so everything is compared",
			problem.Of(c.lost)[0].What))
	}
	r.Warnings = append(r.Warnings, c.adopted()...)
	aside := filepath.Join(c.Mount, tree.AsideFolder)
	if asides > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d entries on the share were not of this server's copy "+
			"and were moved to %s, among them %s", asides, aside, r.Data["aside"].([]string)[0]))
	}
	if foreigns > 0 && c.Check {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d entries on the share are not of this server's copy: "+
			"the migration moves them to %s, among them %s", foreigns, aside, r.Data["foreign"].([]string)[0]))
	} else if foreigns > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d entries on the share are not of this server's copy and could not be moved aside, "+
			"among them %s", foreigns, r.Data["foreign"].([]string)[0]))
	}
	if c.Live && !c.Check {
		r.Data["forecast"] = map[string]any{"downtime_seconds": c.downtime}
	}
	return r
}

// lists adds what there is to tell of a part to a reply: of long lists the first
// entries, and the file that has them all. It returns how many there are.
func (j *job) lists(data map[string]any, file string) map[string]any {
	var sqlite []string
	for _, path := range j.seen().sqlite {
		sqlite = append(sqlite, j.part.label+path)
	}
	var left, paths []mirror.Omission
	for _, l := range j.Scan.Census.Omitted {
		left = append(left, mirror.Omission{Path: j.part.label + l.Path, Why: l.Why})
	}
	for _, f := range j.part.Found.Of(served) {
		paths = append(paths, mirror.Omission{Path: filepath.Join(j.part.Source, f.Path), Why: f.Detail})
	}
	slices.SortFunc(left, func(a, b mirror.Omission) int { return strings.Compare(a.Path, b.Path) })
	plain := func(note string) string { return note }
	note := func(text string) mirror.Omission { return mirror.Omission{Path: text} }
	data["git"] = append(data["git"].([]gitCheck), j.git...)
	return map[string]any{
		"file": file, "attributes": j.Scan.Census.Extended, "outside": len(j.part.Found.Of(outside)),
		"foreign": extend(data, "foreign", j.part.Foreign(), plain, file), "sqlite": extend(data, "sqlite", sqlite, plain, file),
		"aside": extend(data, "aside", j.Result.Aside, plain, file), "repaired": extend(data, "repaired", j.Result.Repaired, plain, file),
		"paths": extend(data, "paths", paths, note, file), "left_out": extend(data, "left_out", left, note, file),
	}
}

// summary is one part's share of the reply.
func (j *job) summary() map[string]any {
	s, r := j.Scan.Census, j.Result
	return map[string]any{
		"repositories": j.seen().repositories, "files": s.Files, "folders": s.Folders, "bytes": s.Bytes,
		"source": j.part.Source, "target": j.part.Target,
		"copied_files": r.CopiedFiles.Load(), "copied_bytes": r.CopiedBytes.Load(),
		"linked": r.Linked.Load(), "deleted": r.Deleted.Load(), "paths": len(j.part.Found.Of(served)),
		"compared": r.Compared.Load(), "sampled": r.Sampled.Load(), "unchanged": j.Scan.Same, "foreign": len(j.part.Foreign()),
		"changed_meanwhile": r.Moving.Load(), "seconds": j.Took.Seconds(), "scan_seconds": j.Scan.Took.Seconds(),
	}
}

// record is what the journal keeps of a run.
func (c *step) record() map[string]any {
	parts := map[string]any{}
	for _, j := range c.jobs {
		r := j.Result
		parts[j.part.Name] = map[string]any{"files": r.CopiedFiles.Load(), "bytes": r.CopiedBytes.Load(), "deleted": r.Deleted.Load()}
	}
	return map[string]any{"parts": parts, "share": c.Mount}
}

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
