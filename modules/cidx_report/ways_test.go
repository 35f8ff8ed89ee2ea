package report

import (
	"strings"
	"testing"
	"unicode/utf8"

	"cidx-cluster/modules/internal/document"
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
			d := gathering{&document.Report{}}
			d.ways(args{Common: home.Common{Home: dir}, Manager: service.BySystemd, Unit: "cidx-server"}, row.scope)
			if len(d.Rollback.ByHand) != 3 || d.Rollback.ByHand[0] != row.want {
				t.Errorf("%q", d.Rollback.ByHand)
			}
		})
	}
}

// No line of ours wraps in a terminal of 80 columns, whatever the outcome.
func TestNoLineOfASummaryIsWiderThanATerminal(t *testing.T) {
	server := map[string]any{"running": true, "server": "active"}
	for _, outcome := range []string{document.Rehearsed, document.Migrated, document.Already, document.Failed, document.RolledBack, document.Verified, document.Accepted} {
		for _, check := range []bool{false, true} {
			reply := call(t, newHome(t), outcome, map[string]any{"replies": replies(t), "host": "node1", "server": server, "_ansible_check_mode": check})
			for line := range strings.SplitSeq(lines(reply, "summary"), "\n") {
				if utf8.RuneCountInString(line) > 80 && !strings.Contains(line, "/") {
					t.Errorf("%s: %d columns: %s", outcome, utf8.RuneCountInString(line), line)
				}
			}
		}
	}
}
