package report

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/service"
)

// A unit of the user's own systemd is none of root's: what is printed can be pasted.
func TestTheWayBackByHandIsOfTheSystemdThatRunsTheServer(t *testing.T) {
	dir := newHome(t)
	for name, row := range map[string]struct {
		scope service.Scope
		want  string
	}{
		"the machine's":  {service.Scope{Allowed: true}, "sudo systemctl stop cidx-server"},
		"the user's own": {service.Scope{User: true, Allowed: true}, "systemctl --user stop cidx-server"},
	} {
		t.Run(name, func(t *testing.T) {
			var d document
			d.ways(args{Common: home.Common{Home: dir}, Manager: service.BySystemd, Unit: "cidx-server"}, row.scope)
			if len(d.Rollback.ByHand) != 3 || d.Rollback.ByHand[0] != row.want {
				t.Errorf("%q", d.Rollback.ByHand)
			}
		})
	}
}

// Warnings are grouped by kind, the most frequent first; every kind is named.
func TestTheSummaryCountsWarningsByKind(t *testing.T) {
	warnings := []remark{
		{Step: "files", Text: "the share is exported with root_squash"},
		{Step: "files", Text: "/home/data: 2 paths point out of the copied folders, to what other nodes do not have (a 1, b 1): link 2; among them /home/x"},
	}
	for i := range 1200 {
		warnings = append(warnings, remark{Step: "files_warm", Text: fmt.Sprintf("/srv/a b/%d: symbolic link points out of the copied folders: /x/%d; other nodes do not have it, whatever it may be that stands there", i, i)})
	}
	got := strings.Join((&document{Warnings: warnings}).counts(), "\n")
	want := "1,202 warnings, complete in the report:\n 1,200 × symbolic link points out of the copied folders\n     1 × the share is exported with root_squash\n     1 × paths point out of the copied folders, to what other nodes do not have"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i := range 12 {
		warnings = append(warnings, remark{Step: "files", Text: "kind " + strings.Repeat("x", i)})
	}
	if lines := (&document{Warnings: warnings}).counts(); len(lines) != 10 || lines[9] != "  and 7 other kinds" {
		t.Errorf("got %q", lines)
	}
}

// No line of ours wraps in a terminal of 80 columns, whatever the outcome.
func TestNoLineOfASummaryIsWiderThanATerminal(t *testing.T) {
	server := map[string]any{"running": true, "server": "active"}
	for _, outcome := range []string{rehearsed, migrated, already, failed, rolledBack, verified, accepted} {
		for _, check := range []bool{false, true} {
			reply := call(t, newHome(t), outcome, map[string]any{"replies": replies(t), "host": "node1", "server": server, "_ansible_check_mode": check})
			for line := range strings.SplitSeq(lines(reply, "summary"), "\n") {
				if utf8.RuneCountInString(line) > 80 && !strings.Contains(line, "/") {
					t.Errorf("%s: %d columns: %s", outcome, utf8.RuneCountInString(line), line)
				}
			}
		}
	}
	for _, state := range []string{nowRunning, nowStopped, nowChanging, nowUnknown} {
		for _, d := range []document{{}, {Downtime: downtime{Stopped: &someTime}}, {Downtime: downtime{Stopped: &someTime, Started: &someTime}}, {Downtime: downtime{Stopped: &someTime, Started: &someTime, Healthy: &someTime}}} {
			d.Now = &now{state, "activating"}
			for line := range strings.SplitSeq(d.serverSentence(), "\n") {
				if len(line) > 80 {
					t.Errorf("%s: %d columns: %s", state, len(line), line)
				}
			}
		}
	}
}

var someTime = time.Date(2026, 11, 22, 1, 6, 0, 0, time.UTC)
