package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/service"
)

// scope says whose systemd runs the server.
func (a args) scope(ctx context.Context, byRoot bool) service.Scope {
	return service.New(service.Args{Manager: a.Manager, Unit: a.Unit}, a.Common).In(ctx, byRoot).Scope
}

// ways are the commands for what may come next.
func (d *document) ways(a args, scope service.Scope) {
	limit := ""
	if a.Host != "" {
		limit = " -l " + human.Word(a.Host)
	}
	d.Resume = cmp.Or(a.Resume, "ansible-playbook cluster-migrate.yml"+limit)
	stop, start := a.Stop, a.Start
	if a.Manager != "command" {
		systemctl := scope.Systemctl("sudo ")
		stop, start = systemctl+" stop "+human.Word(a.Unit), systemctl+" start "+human.Word(a.Unit)
	}
	config := a.ConfigPath()
	if d.Rollback.Final != "" {
		d.Rollback.ByHand = []string{}
		return
	}
	d.Rollback = commands{
		Playbook: cmp.Or(a.Back, "ansible-playbook cluster-rollback.yml"+limit),
	}
	// Without a standalone configuration the third command would start a server in
	// cluster mode, on whatever PostgreSQL holds.
	if !d.further() && leadsBack(config+home.PreCluster) {
		d.Rollback.ByHand = []string{stop, fmt.Sprintf("cp %s %s", human.Word(config+home.PreCluster), human.Word(config)), start}
	}
}

// Joined are the commands by hand as one: where one does not succeed, the next is
// not run, so that nothing starts a server whose configuration is the cluster's.
func (c commands) Joined() string {
	list := slices.Clone(c.ByHand)
	for i, command := range list {
		if strings.Contains(command, "\n") {
			list[i] = "{ " + command + "\n}"
		}
	}
	return strings.Join(list, " &&\n")
}

// leadsBack reports whether a file is the configuration of a standalone server.
func leadsBack(path string) bool {
	config, err := home.ReadConfig(context.Background(), path)
	return err == nil && config.StorageMode == cidx.ModeSQLite
}

// summary ends the transcript.
func (d *document) summary() []string {
	if d.Outcome == refused || d.Outcome == absent || d.Outcome == failed && d.Subject != ofMigration {
		return []string{} // the playbook says it
	}
	if d.Check && (d.Outcome == migrated || d.Outcome == accepted) {
		return []string{"", d.Headline() + "."}
	}
	switch d.Outcome {
	case migrated:
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
	case accepted:
		return d.acceptedLines()
	case already:
		return append([]string{"", "This server has been migrated before: nothing was changed."}, d.rollbackLines("Rollback (if needed):")...)
	case rehearsed:
		return d.rehearsalLines()
	case failed:
		return d.failureLines()
	case rolledBack:
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
func (d *document) counts() []string {
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
func kinds(warnings []remark) []string {
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

func (d *document) rollbackLines(title string) []string {
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

func (d *document) rehearsalLines() []string {
	if d.further() {
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

func (d *document) failureLines() []string {
	lines := []string{"", "The migration failed. What was done:"}
	start := stepMissing // of the server, which the step service does as well
	for _, s := range d.Steps {
		state := s.State
		switch state {
		case stepUnchanged, stepSkipped:
			state = stepDone
		case stepRehearsed:
			state = stepMissing
		}
		if s.Name == "service" && d.Downtime.Started != nil {
			start, state = state, stepDone
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
