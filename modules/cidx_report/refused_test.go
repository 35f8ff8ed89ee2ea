package report

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/journal"
)

// claims are what only a real run may say.
var claims = regexp.MustCompile(`Migrated:|Rolled back:|Accepted:|Migration complete|Rollback complete|Migration accepted|is now the first node|runs again|runs with the data`)

func TestARehearsalClaimsNothing(t *testing.T) {
	for _, outcome := range []string{document.Rehearsed, document.Migrated, document.Already, document.Refused, document.Failed, document.RolledBack, document.Verified, document.Accepted} {
		t.Run(outcome, func(t *testing.T) {
			home := newHome(t)
			before := snapshot(t, home)
			reply := call(t, home, outcome, map[string]any{"replies": replies(t), "host": "node1", "run": map[string]any{"check": true}})
			text := reply.Get("html").Str + lines(reply, "lines")
			if found := claims.FindString(text); found != "" || !strings.Contains(text, "check mode: nothing was changed") || !reply.Get("report.check").Bool() {
				t.Errorf("claims %q, or does not say that it is a rehearsal", found)
			}
			if diff := cmp.Diff(before, snapshot(t, home)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A run that was refused has a report as well: what is wrong, how the server is, and
// what comes next. It changes nothing on the node.
func TestARefusedRunIsReported(t *testing.T) {
	const stopping, stopped = "stopping", "stopped"
	running, down := map[string]any{"running": true, "server": "active"}, map[string]any{"running": false, "stopped": true, "server": "inactive"}
	for name, c := range map[string]struct {
		outcome, subject string
		events           []string // of cidx_service
		server           map[string]any
		headline, state  string
		back             bool // a way back is offered
	}{
		"a migration before the stop":       {document.Refused, document.OfMigration, nil, running, "Not migrated: this run has changed nothing", "The server runs; this run has not stopped it.", false},
		"of a server that was down":         {document.Refused, document.OfMigration, nil, down, "Not migrated", "The server is down, as this run has found it.", false},
		"that would have resumed":           {document.Refused, document.OfMigration, []string{stopping, stopped}, down, "Not migrated", "It must not be started by hand.", true},
		"nobody could look":                 {document.Refused, document.OfMigration, nil, map[string]any{"unreachable": true, "msg": "no route"}, "Not migrated", "Whether the server runs is not known (no route).", false},
		"a rollback that lacks the way":     {document.Refused, document.OfRollback, nil, running, "Not rolled back: nothing was changed", "The server runs; this run has not stopped it.", false},
		"a rollback that failed on its way": {document.Failed, document.OfRollback, []string{stopping, stopped}, down, "The rollback failed", "It must not be started by hand.", false},
		"a verification":                    {document.Refused, document.OfVerification, nil, running, "The verification has found problems", "The server runs", false},
		"an acceptance":                     {document.Refused, document.OfAcceptance, nil, running, "Not accepted: nothing was removed", "The server runs", false},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for _, e := range c.events {
				must(t, journal.Append(filepath.Join(home, ".cluster-migrate/journal.jsonl"), "cidx_service", e, nil))
			}
			before := snapshot(t, home)
			reply := call(t, home, c.outcome, map[string]any{
				"subject": c.subject, "server": c.server, "host": "node1", "_ansible_check_mode": true, "run": map[string]any{"check": false, "user": "ann", "controller": "desk"},
				"command": "ansible-playbook site.yml -l node1", "inline": "cidx_url",
				"replies": map[string]any{"precheck": map[string]any{"failed": true, "problems": []any{map[string]any{"what": "share is not mounted", "at": "/mnt", "fix": "mount it"}}}},
			})
			doc, page := reply.Get("report"), reply.Get("html").Str
			for _, want := range []string{c.headline, c.state, "share is not mounted", "mount it", "ansible-playbook site.yml -l node1", "ann@desk", "again: cidx_url"} {
				if !strings.Contains(strings.ReplaceAll(page, "&#39;", "'"), want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if doc.Get("check").Bool() || doc.Get("outcome").Str != c.outcome || doc.Get("problems.0.at").Str != "/mnt" || doc.Get("server_now.state").Str == "" || doc.Get("steps.#").Int() != 1 {
				t.Error(doc.Raw)
			}
			if offered := strings.Contains(doc.Get("next").Raw, "cluster-rollback.yml"); offered != c.back {
				t.Errorf("next: %s", doc.Get("next").Raw)
			}
			if diff := cmp.Diff(before, snapshot(t, home)); diff != "" || reply.Get("lines.#").Int() != 0 {
				t.Errorf("something was changed or printed: %s", diff)
			}
		})
	}
}

func TestARunThatNoModuleEndedNamesItsCause(t *testing.T) {
	reply := call(t, t.TempDir(), document.Refused, map[string]any{"cause": "Wait for the word: nobody came\nTraceback", "_ansible_check_mode": true})
	if got := reply.Get("report.problems.0.what").Str; got != "Wait for the word: nobody came" {
		t.Errorf("got %q", got)
	}
}

func TestTheForecastStandsBesideTheFact(t *testing.T) {
	r := replies(t)
	r["database_rehearsal"] = map[string]any{"check_mode": true, "rows": 1234000}
	r["aliases_rehearsal"] = map[string]any{"check_mode": true, "updated": 11}
	r["files_rehearsal"] = map[string]any{"check_mode": true, "parts": map[string]any{"golden-repos": map[string]any{"files": 299, "bytes": 16000000000}}, "forecast": map[string]any{"warm_seconds": 60}}
	r["files_warm"].(map[string]any)["seconds"] = 61.5
	r["files"].(map[string]any)["seconds"] = 3.4
	reply := call(t, newHome(t), document.Migrated, map[string]any{"replies": r})
	for path, want := range map[string]string{
		"forecast.rows": "1234000", "fact.rows": "1234567", "forecast.files": "299", "fact.files": "300", "forecast.aliases": "11", "fact.aliases": "12",
		"forecast.warm_seconds": "60", "fact.warm_seconds": "61.5", "steps.4.seconds": "64.9",
	} {
		if got := reply.Get("report." + path).String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if page := reply.Get("html").Str; !strings.Contains(page, "Forecast and fact") || !strings.Contains(page, "1,234,000") {
		t.Error("the page does not show it")
	}
	if call(t, newHome(t), document.Migrated, map[string]any{"replies": replies(t)}).Get("report.forecast").Exists() {
		t.Error("a forecast without a rehearsal")
	}
}

func TestTheReportNamesItsVersions(t *testing.T) {
	r := replies(t)
	r["precheck"].(map[string]any)["postgres"] = map[string]any{"version": "15.18"}
	reply := call(t, newHome(t), document.Migrated, map[string]any{"replies": r, "run": map[string]any{"ansible_core": "2.21.0", "folder": "/srv/ansible"}})
	for path, want := range map[string]string{"database.postgresql": "15.18", "server.version": "11.79.0", "tool.ansible_core": "2.21.0", "run.folder": "/srv/ansible"} {
		if got := reply.Get("report." + path).Str; got != want || !strings.Contains(reply.Get("html").Str, want) {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}
