package document

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Warnings are grouped by kind, the most frequent first; every kind is named.
func TestTheSummaryCountsWarningsByKind(t *testing.T) {
	warnings := []Remark{
		{Step: "files", Text: "the share is exported with root_squash"},
		{Step: "files", Text: "/home/data: 2 paths point out of the copied folders, to what other nodes do not have (a 1, b 1): link 2; among them /home/x"},
	}
	for i := range 1200 {
		warnings = append(warnings, Remark{Step: "files_warm", Text: fmt.Sprintf("/srv/a b/%d: symbolic link points out of the copied folders: /x/%d; other nodes do not have it, whatever it may be that stands there", i, i)})
	}
	got := strings.Join((&Report{Warnings: warnings}).counts(), "\n")
	want := "1,202 warnings, complete in the report:\n 1,200 × symbolic link points out of the copied folders\n     1 × the share is exported with root_squash\n     1 × paths point out of the copied folders, to what other nodes do not have"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i := range 12 {
		warnings = append(warnings, Remark{Step: "files", Text: "kind " + strings.Repeat("x", i)})
	}
	if lines := (&Report{Warnings: warnings}).counts(); len(lines) != 10 || lines[9] != "  and 7 other kinds" {
		t.Errorf("got %q", lines)
	}
}

// No line of ours wraps in a terminal of 80 columns, however the server is.
func TestNoLineOfTheServersStateIsWiderThanATerminal(t *testing.T) {
	for _, state := range []string{NowRunning, NowStopped, NowChanging, NowUnknown} {
		for _, d := range []Report{{}, {Downtime: Downtime{Stopped: &someTime}}, {Downtime: Downtime{Stopped: &someTime, Started: &someTime}}, {Downtime: Downtime{Stopped: &someTime, Started: &someTime, Healthy: &someTime}}} {
			d.Now = &Now{state, "activating"}
			for line := range strings.SplitSeq(d.serverSentence(), "\n") {
				if len(line) > 80 {
					t.Errorf("%s: %d columns: %s", state, len(line), line)
				}
			}
		}
	}
}

var someTime = time.Date(2026, 11, 22, 1, 6, 0, 0, time.UTC)
