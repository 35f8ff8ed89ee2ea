package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/journal"
)

func TestFailureTellsWhatWasDoneAndTheWaysOut(t *testing.T) {
	r := replies(t)
	r["database"] = map[string]any{"failed": true, "check_mode": false, "msg": "1 problem:\n  - x", "problems": []any{map[string]any{"what": "column is_admin: not a boolean: \"maybe\"", "at": "users.17", "fix": "correct the row"}}}
	delete(r, "files") // only the warm copy came to its end
	delete(r, "aliases")
	delete(r, "config")
	delete(r, "verify")
	home := newHome(t)
	journal := filepath.Join(home, ".cluster-migrate/journal.jsonl")
	raw, err := os.ReadFile(journal)
	must(t, err)
	before, _, _ := strings.Cut(string(raw), `{"data":{"parts":{"golden-repos":{"bytes":30`)
	put(t, journal, before) // up to the stop
	reply := call(t, home, document.Failed, map[string]any{"replies": r, "host": "node1", "service_manager": "command", "service_stop_command": "/opt/cidx stop", "service_start_command": "/opt/cidx start", "server": map[string]any{"running": false, "stopped": true, "server": "exit status 3"}})
	text := lines(reply, "lines")
	for _, want := range []string{
		"  done      server stopped", "  not done  server started in cluster mode\n  not done  server proven to work", "  done      configuration, databases and aliases kept aside", "  failed    databases in PostgreSQL", "  begun     repositories on the share", "  not done  server proven to work",
		`  ! users.17: column is_admin: not a boolean: "maybe" (fix: correct the row)`,
		"The server is down, and must not be started before", "To resume, when the cause is gone:\n  ansible-playbook cluster-migrate.yml -l node1",
		"  /opt/cidx stop &&\n  cp " + home + "/config.json.pre-cluster " + home + "/config.json &&\n  /opt/cidx start", "cluster-rollback.yml -l node1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if reply.Get("report.steps.3.state").Str != document.StepFailed || reply.Get("report.problems.0.step").Str != "database" || reply.Get("report.downtime.healthy").Str != "" {
		t.Error(reply.Get("report").Raw)
	}
}

func TestFailureAfterTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		failed string // reply
		want   string
	}{
		"it did not come up":       {"service", "  failed    server started in cluster mode\n  not done  server proven to work"},
		"it is not proven to work": {"verify", "  done      server started in cluster mode\n  failed    server proven to work"},
	} {
		t.Run(name, func(t *testing.T) {
			r := replies(t)
			delete(r, "verify")
			r[c.failed] = map[string]any{"failed": true, "msg": "not healthy"}
			text := lines(call(t, newHome(t), document.Failed, map[string]any{"replies": r, "host": "node1", "server": map[string]any{"running": true}}), "lines")
			for _, want := range []string{"  done      server stopped\n", c.want, "The server was started at 01:06:52 UTC, runs, and is not proven to work.\nLeave it as it is"} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in\n%s", want, text)
				}
			}
		})
	}
}

// The state of the server is told as it is when the report is made, whatever the
// journal says of it.
func TestFailureTellsTheStateOfTheServerAsItIs(t *testing.T) {
	running, down := map[string]any{"running": true, "stopped": false, "server": "active"}, map[string]any{"running": false, "stopped": true, "server": "inactive"}
	const stopping, stopped, starting, released = "stopping", "stopped", "starting", "released"
	for name, c := range map[string]struct {
		events []string // of cidx_service
		server map[string]any
		want   string
		back   bool // ways to roll back are printed
	}{
		"stopped, down":                          {[]string{stopping, stopped}, down, "The server is down, and must not be started before one of these:", true},
		"stopped, started by somebody":           {[]string{stopping, stopped}, running, "something else started it.\nStop it before one of these:", true},
		"the stop failed, it runs, units rest":   {[]string{stopping}, running, "The server still runs: the stop has failed.", true},
		"the stop failed and was taken back":     {[]string{stopping, released}, running, "The server runs: it was not stopped.", false},
		"the stop failed after it went down":     {[]string{stopping}, down, "The server is down, and must not be started", true},
		"nothing was begun, it runs":             {nil, running, "The server runs: it was not stopped.", false},
		"nothing was begun, it was down already": {nil, down, "The server is down; this migration has not stopped it.", false},
		"started, runs":                          {[]string{stopping, stopped, starting}, running, "runs, and is not proven to work.\nLeave it as it is", true},
		"started, down":                          {[]string{stopping, stopped, starting}, down, "and is down.\nDo not start it before one of these:", true},
		"it starts just now":                     {[]string{stopping, stopped, starting}, map[string]any{"running": false, "stopped": false, "server": "activating"}, "The server is activating just now", true},
		"the node is away":                       {[]string{stopping, stopped}, map[string]any{"unreachable": true, "msg": "no route"}, "Whether the server runs is not known (no route)", true},
		"the status command fails":               {[]string{stopping, stopped}, map[string]any{"failed": true, "msg": "exit status 9:\n  - x"}, "Whether the server runs is not known (exit status 9)", true},
		"nobody has looked":                      {[]string{stopping, stopped}, nil, "Whether the server runs is not known", true},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			for _, e := range c.events {
				must(t, journal.Append(filepath.Join(home, ".cluster-migrate/journal.jsonl"), "cidx_service", e, nil))
			}
			reply := call(t, home, document.Failed, map[string]any{"server": c.server, "host": "node1", "replies": map[string]any{"service": map[string]any{"failed": true, "msg": "x"}}})
			text := lines(reply, "lines")
			if !strings.Contains(text, c.want) || strings.Contains(text, "To roll back:") != c.back {
				t.Errorf("%q is missing, or the ways back are wrong, in\n%s", c.want, text)
			}
			if c.server["running"] == true && strings.Contains(text, "is down") {
				t.Errorf("down while it runs:\n%s", text)
			}
		})
	}
}

// Commands are printed only where they lead back: without a standalone
// configuration the third one would start a server in cluster mode.
func TestTheWayBackByHandIsPrintedOnlyWhereItLeadsBack(t *testing.T) {
	for name, config := range map[string]string{"none yet": "", "a cluster's": `{"storage_mode":"postgres"}`, "torn": "{"} {
		t.Run(name, func(t *testing.T) {
			home := newHome(t)
			path := filepath.Join(home, "config.json.pre-cluster")
			must(t, os.Remove(path))
			if config != "" {
				put(t, path, config)
			}
			reply := call(t, home, document.Failed, map[string]any{"host": "node1", "replies": map[string]any{"service": map[string]any{"failed": true, "msg": "x"}}})
			text := lines(reply, "lines")
			if strings.Contains(text, "pre-cluster") || !strings.Contains(text, "ansible-playbook cluster-rollback.yml -l node1") {
				t.Errorf("got\n%s", text)
			}
		})
	}
}
