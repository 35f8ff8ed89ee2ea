package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/progress"
)

func closeFD(fd int) { unix.Close(fd) }

// tell prints a part's lines.
func (c *copier) tell(ctx context.Context, j *job) {
	s := j.scan.census
	if c.args.Phase == phaseDelta {
		progress.Line(ctx, "  %d %s, %s total ... done", s.Repositories, j.part.noun(s.Repositories), human(s.Bytes))
		return
	}
	if j.told {
		return // a further round of a warm pass
	}
	j.told = true
	rate := ""
	if seconds := j.took.Seconds(); seconds > 0 && j.result.copiedBytes.Load() > 0 {
		rate = ", " + human(int64(float64(j.result.copiedBytes.Load())/seconds)) + "/s"
	}
	progress.Line(ctx, "  %s %d files, %s copied in %s%s", j.part.label, j.result.copiedFiles.Load(), human(j.result.copiedBytes.Load()), brief(j.took), rate)
}

func brief(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// reply is what the run has found and done so far.
func (c *copier) reply() ansible.Reply {
	all := newCensus()
	parts := map[string]any{}
	var r ansible.Reply
	var out struct {
		foreign, repaired, aside, sqlite []string
		mended                           []mended
		leftOut                          []leftOut
		git                              []gitCheck
	}
	for _, j := range c.jobs {
		all.add(j.scan.census)
		parts[j.part.name] = j.summary()
		r.Changed = r.Changed || j.result.writes.Load() > 0
		r.Warnings = append(r.Warnings, j.result.warnings...)
		out.foreign = append(out.foreign, j.result.foreign...)
		out.repaired = append(out.repaired, j.result.repaired...)
		out.aside = append(out.aside, j.result.aside...)
		out.mended = append(out.mended, j.result.mended...)
		for _, path := range j.scan.census.sqlite {
			out.sqlite = append(out.sqlite, j.part.label+path)
		}
		if c := j.scan.census; c.Extended > 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: %d entries have ACLs or extended attributes, which are not copied, among them %s", j.part.source, c.Extended, c.withExtended[0]))
		}
		out.git = append(out.git, j.result.git...)
		for _, l := range j.scan.census.leftOut {
			l.Path = j.part.label + l.Path
			out.leftOut = append(out.leftOut, l)
		}
	}
	slices.SortFunc(out.mended, func(a, b mended) int { return compareText(a.Path, b.Path) })
	slices.SortFunc(out.leftOut, func(a, b leftOut) int { return compareText(a.Path, b.Path) })
	slices.Sort(out.foreign)
	r.Data = map[string]any{
		"parts": parts, "census": all, "share": c.info, "phase": c.args.Phase,
		"foreign": list(out.foreign), "repaired": list(out.repaired), "mended": list(out.mended), "left_out": list(out.leftOut),
		"git": list(out.git), "aside": list(out.aside), "sqlite": list(out.sqlite),
	}
	if c.as != "" {
		r.Warnings = append(r.Warnings, fmt.Sprintf("root may not write on %s (root_squash): everything there is written as %s", c.share, c.as))
	}
	if len(out.aside) > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("what a cluster wrote before it was rolled back was moved to %s, %d entries among them %s", filepath.Join(c.share, asideFolder), len(out.aside), out.aside[0]))
	}
	if c.args.Phase == phaseWarm && !c.check {
		r.Data["forecast"] = map[string]any{"downtime_seconds": c.downtime}
	}
	return r
}

// list is never null in a reply.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// summary is one part's share of the reply.
func (j *job) summary() map[string]any {
	s, r := j.scan.census, j.result
	return map[string]any{
		"repositories": s.Repositories, "files": s.Files, "folders": s.Folders, "bytes": s.Bytes,
		"source": j.part.source, "target": j.part.target,
		"copied_files": r.copiedFiles.Load(), "copied_bytes": r.copiedBytes.Load(),
		"linked": r.linked.Load(), "deleted": r.deleted.Load(), "mended": len(r.mended),
		"compared": r.compared.Load(), "sampled": r.sampled.Load(), "unchanged": j.scan.same, "foreign": r.foreigns,
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
