package document

import (
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/human"
)

// Summary ends the transcript.
func (d *Report) Summary() []string {
	if d.Outcome == Refused || d.Outcome == Absent || d.Outcome == Failed && d.Subject != OfMigration {
		return []string{} // the playbook says it
	}
	if d.Check && (d.Outcome == Migrated || d.Outcome == Accepted) {
		return []string{"", d.Headline() + "."}
	}
	switch d.Outcome {
	case Migrated:
		lines := []string{
			"", "Migration complete!", "This server is now the first node of the cluster.",
			"To add more nodes: run 'scripts/cluster-join.sh' on each new server.", "Each needs this server's path: " + d.Home,
			"Then cluster-node.yml -l <its name> makes it one, and verifies it.",
		}
		if d.Downtime.Seconds > 0 {
			lines = append(lines, "Downtime: "+human.Seconds(d.Downtime.Seconds))
			if d.Forecast != nil && d.Forecast.Downtime != nil {
				lines = append(lines, d.Forecast.Downtime.lines("  Forecast")...)
			}
		}
		return append(append(lines, d.counts()...), d.rollbackLines("Rollback (if needed):")...)
	case Accepted:
		return d.acceptedLines()
	case Already:
		lines := []string{"", "This server has been migrated before: nothing was changed."}
		return append(lines, d.rollbackLines("Rollback (if needed):")...)
	case Rehearsed:
		return d.rehearsalLines()
	case Failed:
		return d.failureLines()
	case RolledBack:
		if d.Check {
			return []string{"", "Rehearsal of the rollback complete: nothing was changed.", "To roll back:", "  " + d.Rollback.Playbook}
		}
		return append([]string{
			"", "Rollback complete!", "The standalone server runs with the data it had at the migration.",
			"The copies on the share and in PostgreSQL are still there. To migrate again:", "  " + d.Resume,
		}, d.counts()...)
	}
	return append([]string{"", "The server was verified."}, d.counts()...)
}

// counts are lines about what needs attention; none if nothing does.
func (d *Report) counts() []string {
	var lines []string
	if n := len(d.Warnings); n > 0 {
		lines = append(append(lines, human.Count(n, "warning", "warnings")+", complete in the report:"), kinds(d.Warnings)...)
	}
	for _, a := range d.Artifacts {
		// An earlier migration's file is listed in the report only.
		if a.Lines > 0 && len(d.Timeline) > 0 && !a.Time.Before(d.Timeline[0].Time) {
			lines = append(lines, fmt.Sprintf("%s in %s (%s)", human.Count(a.Lines, "line", "lines"), a.Path, a.What))
		}
	}
	return lines
}

// kinds are lines of one width that say what is warned of, and how often.
func kinds(warnings []Remark) []string {
	const most = 8
	var order []string
	times := map[string]int{}
	for _, w := range warnings {
		k := heading(ansible.Kind(w.Text))
		if times[k] == 0 {
			order = append(order, k)
		}
		times[k]++
	}
	slices.SortStableFunc(order, func(a, b string) int { return times[b] - times[a] })
	var lines []string
	for _, k := range order[:min(most, len(order))] {
		lines = append(lines, fmt.Sprintf("%6s × %s", human.Number(times[k]), human.Clip(k, 71)))
	}
	if more := len(order) - most; more > 0 {
		lines = append(lines, "  and "+human.Count(more, "other kind", "other kinds"))
	}
	return lines
}

// heading is a kind of warning up to where it goes into details.
func heading(kind string) string {
	text := strings.TrimLeft(kind, "…: ")
	for _, detail := range []string{" (", "; ", ": "} {
		if before, _, ok := strings.Cut(text, detail); ok && strings.Count(before, " ") > 1 {
			text = before
		}
	}
	return strings.TrimRight(text, "…, ")
}

func (d *Report) rollbackLines(title string) []string {
	if d.Rollback.Final != "" {
		return []string{"There is no rollback any more: " + d.Rollback.Final + "."}
	}
	lines := []string{"", title}
	if len(d.Rollback.ByHand) == 0 {
		return append(lines, "  "+d.Rollback.Playbook)
	}
	for line := range strings.SplitSeq(d.Rollback.Joined(), "\n") {
		lines = append(lines, "  "+line)
	}
	return append(lines, "or with the proof that everything is back:", "  "+d.Rollback.Playbook)
}

func (d *Report) rehearsalLines() []string {
	if d.Further() {
		return d.counts()
	}
	f := d.Forecast
	lines := []string{
		"", "Rehearsal complete: nothing was changed.", "A migration would move",
		fmt.Sprintf("  %s of %s to PostgreSQL", human.Count(f.Rows, "row", "rows"), human.Count(len(d.Database.Tables), "table", "tables")),
		fmt.Sprintf("  %s, %s, to %s", human.Count(f.Files, "file", "files"), human.Bytes(f.Bytes), d.Share),
		"  and rewrite " + human.Count(f.Aliases, "alias file", "alias files"),
	}
	if n := len(d.Database.Skipped); n > 0 {
		lines = append(lines, human.Count(n, "table", "tables")+" would stay behind, each for a reason that is in the report.")
	}
	if f.Downtime != nil {
		lines = append(lines, f.Downtime.lines("Expected downtime")...)
	}
	if n := len(d.Problems); n > 0 {
		lines = append(lines, fmt.Sprintf("It would fail: %s, see above.", human.Count(n, "problem", "problems")))
	}
	return append(lines, d.counts()...)
}

// told are the steps in an operator's words.
var told = map[string]string{
	"precheck": "prechecks", "service": "server stopped", "backup": "configuration, databases and aliases kept aside",
	"database": "databases in PostgreSQL", "files": "repositories on the share", "aliases": "alias files pointed at the share",
	"config": "cut-over to cluster mode", "verify": "server proven to work", "accept": "what only a rollback needs removed",
}

func (d *Report) failureLines() []string {
	lines := []string{"", "The migration failed. What was done:"}
	start := StepMissing // of the server, which the step service does as well
	for _, s := range d.Steps {
		state := s.State
		switch state {
		case StepUnchanged, StepSkipped:
			state = StepDone
		case StepRehearsed:
			state = StepMissing
		}
		if s.Name == "service" && d.Downtime.Started != nil {
			start, state = state, StepDone
		}
		if s.Name == "verify" {
			lines = append(lines, fmt.Sprintf("  %-9s server started in cluster mode", start))
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %-9s %s", state, told[s.Name]), " "))
	}
	for _, p := range d.Problems {
		lines = append(lines, "  ! "+p.Error())
	}
	lines = append(lines, "The migration has changed nothing in the server's standalone data.")
	lines = append(lines, strings.Split(d.serverSentence(), "\n")...)
	lines = append(lines, "To resume, when the cause is gone:", "  "+d.Resume)
	if d.Downtime.Stopped == nil {
		return append(lines, "Nothing has to be rolled back.")
	}
	return append(lines, d.rollbackLines("To roll back:")...)
}

// acceptedLines end the transcript of an acceptance.
func (d *Report) acceptedLines() []string {
	lines := []string{"", "Migration accepted: this server stays a cluster node."}
	if a := d.Acceptance; a != nil {
		lines = append(lines, fmt.Sprintf("Removed: %s; %s came free.", human.Count(a.Files, "file", "files"), human.Bytes(a.Bytes)),
			"There is no rollback any more: "+d.Rollback.Final+".")
	}
	return append(lines, d.counts()...)
}
