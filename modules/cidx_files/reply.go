package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/progress"
	"cidx-cluster/modules/internal/tree"
)

// tell prints a part's lines.
func (c *copier) tell(ctx context.Context, j *job) {
	s := j.scan.census
	if c.args.Phase == phaseDelta {
		progress.Line(ctx, "  %s %s, %s total ... done", human.Number(s.Repositories), j.part.noun(s.Repositories), human.Bytes(s.Bytes))
		return
	}
	if j.told {
		return // a further round of a warm pass
	}
	j.told = true
	rate := ""
	if seconds := j.took.Seconds(); seconds > 0 && j.result.copiedBytes.Load() > 0 {
		rate = ", " + human.Bytes(float64(j.result.copiedBytes.Load())/seconds) + "/s"
	}
	files, bytes := human.Count(j.result.copiedFiles.Load(), "file", "files"), human.Bytes(j.result.copiedBytes.Load())
	progress.Line(ctx, "  %s %s, %s copied in %s%s", j.part.label, files, bytes, human.Seconds(j.took.Seconds()), rate)
}

// reply is what the run has found and done so far.
func (c *copier) reply() ansible.Reply {
	all := newCensus()
	parts, counts := map[string]any{}, map[string]any{}
	r := ansible.Reply{Data: map[string]any{"parts": parts, "census": all, "share": c.info, "phase": c.args.Phase, "lists": counts}}
	files := c.writeLists(&r)
	var out told
	for _, j := range c.jobs {
		all.add(j.scan.census)
		parts[j.part.name] = j.summary()
		r.Changed = r.Changed || j.result.writes.Load() > 0
		r.Warnings = append(append(r.Warnings, j.result.warnings...), j.part.warnings(files[j.part.name])...)
		counts[j.part.name] = out.add(j, files[j.part.name])
	}
	out.into(r.Data)
	r.Warnings = append(r.Warnings, c.adopted()...)
	if n := out.asides; n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d entries on the share were not of this server's copy and were moved to %s, among them %s", n, filepath.Join(c.share, tree.AsideFolder), out.aside[0]))
	}
	if n := out.foreigns; n > 0 && c.check {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d entries on the share are not of this server's copy: the migration moves them to %s, among them %s", n, filepath.Join(c.share, tree.AsideFolder), out.foreign[0]))
	} else if n > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d entries on the share are not of this server's copy and could not be moved aside, among them %s", n, out.foreign[0]))
	}
	if c.args.Phase == phaseWarm && !c.check {
		r.Data["forecast"] = map[string]any{"downtime_seconds": c.downtime}
	}
	return r
}

// told are the lists of a reply.
type told struct {
	foreign, repaired, aside, sqlite []string
	foreigns, asides                 int
	paths, leftOut                   []leftOut
	git                              []gitCheck
}

// add takes over what there is to tell of a part: of long lists the first
// entries, and the file that has them all. It returns how many there are.
func (t *told) add(j *job, file string) map[string]any {
	plain := func(note string) string { return note }
	label := func(list []string) (labelled []string) {
		for _, path := range list {
			labelled = append(labelled, j.part.label+path)
		}
		return labelled
	}
	var left []leftOut
	for _, l := range j.scan.census.leftOut {
		left = append(left, leftOut{j.part.label + l.Path, l.Why})
	}
	var served []leftOut
	for _, f := range j.part.found.of(findServed) {
		served = append(served, leftOut{filepath.Join(j.part.source, f.path), f.detail})
	}
	slices.SortFunc(left, func(a, b leftOut) int { return strings.Compare(a.Path, b.Path) })
	foreign := j.foreign()
	t.foreigns, t.asides = t.foreigns+len(foreign), t.asides+len(j.result.aside)
	t.foreign = append(t.foreign, examples(foreign, plain, file)...)
	t.repaired = append(t.repaired, examples(j.result.repaired, plain, file)...)
	t.aside = append(t.aside, examples(j.result.aside, plain, file)...)
	t.sqlite = append(t.sqlite, examples(label(j.scan.census.sqlite), plain, file)...)
	note := func(text string) leftOut { return leftOut{Path: text} }
	t.paths = append(t.paths, examples(served, note, file)...)
	t.leftOut = append(t.leftOut, examples(left, note, file)...)
	t.git = append(t.git, j.result.git...)
	return map[string]any{
		"file": file, "left_out": len(left), "foreign": len(foreign), "paths": len(served), "sqlite": len(j.scan.census.sqlite),
		"aside": len(j.result.aside), "repaired": len(j.result.repaired), "attributes": j.scan.census.Extended, "outside": len(j.part.found.of(findOutside)),
	}
}

// into puts the lists into a reply.
func (t *told) into(data map[string]any) {
	data["foreign"], data["repaired"], data["aside"], data["sqlite"] = list(t.foreign), list(t.repaired), list(t.aside), list(t.sqlite)
	data["paths"], data["left_out"], data["git"] = list(t.paths), list(t.leftOut), list(t.git)
}

// list is never null in a reply.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// summary is one part's share of the reply.
func (j *job) summary() map[string]any {
	s, r := j.scan.census, j.result
	return map[string]any{
		"repositories": s.Repositories, "files": s.Files, "folders": s.Folders, "bytes": s.Bytes,
		"source": j.part.source, "target": j.part.target,
		"copied_files": r.copiedFiles.Load(), "copied_bytes": r.copiedBytes.Load(),
		"linked": r.linked.Load(), "deleted": r.deleted.Load(), "paths": len(j.part.found.of(findServed)),
		"compared": r.compared.Load(), "sampled": r.sampled.Load(), "unchanged": j.scan.same, "foreign": len(j.foreign()),
		"changed_meanwhile": r.moving, "seconds": j.took.Seconds(), "scan_seconds": j.scan.took.Seconds(),
	}
}

// record is what the journal keeps of a run.
func (c *copier) record() map[string]any {
	parts := map[string]any{}
	for _, j := range c.jobs {
		parts[j.part.name] = map[string]any{"files": j.result.copiedFiles.Load(), "bytes": j.result.copiedBytes.Load(), "deleted": j.result.deleted.Load()}
	}
	return map[string]any{"parts": parts, "share": c.share}
}
