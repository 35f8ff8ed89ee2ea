package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/cidx"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/printable"
)

const password = "s3cret-of-the-dsn"

// newHome is a home after a migration: a configuration, and a journal of an
// earlier migration, its rollback, and this one.
func newHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	put(t, filepath.Join(home, "config.json"), `{"storage_mode":"postgres","postgres_dsn":"postgresql://cidx:`+password+`@db/cidx","ontap":{"mount_point":"/mnt/cidx"}}`)
	put(t, filepath.Join(home, "config.json.pre-cluster"), `{"storage_mode":"sqlite"}`)
	start := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	var lines []string
	for _, e := range []struct {
		after         int // seconds since the start
		module, event string
		data          map[string]any
	}{
		{0, "cidx_service", "stopping", nil},
		{9, "cidx_report", "migrated", nil},
		{10, "cidx_report", "rolled-back", nil},
		{100, "cidx_files", "warm", map[string]any{"parts": map[string]any{"golden-repos": map[string]any{"files": 90, "bytes": 900}, "versioned": map[string]any{"files": 10, "bytes": 100}}}},
		{160, "cidx_service", "stopping", nil},
		{161, "cidx_service", "stopped", nil},
		{170, "cidx_backup", "taken", map[string]any{"note": "connect postgresql://x:plain-password@h/d"}},
		{180, "cidx_report", "failed", nil},
		{400, "cidx_service", "stopped", nil},
		{401, "cidx_files", "delta", map[string]any{"parts": map[string]any{"golden-repos": map[string]any{"files": 3, "bytes": 30, "deleted": 1}}}},
		{410, "cidx_config", "done", map[string]any{"state": "cluster"}},
		{412, "cidx_service", "started", nil},
	} {
		raw, err := json.Marshal(map[string]any{"time": start.Add(time.Duration(e.after) * time.Second), "module": e.module, "event": e.event, "data": e.data})
		must(t, err)
		lines = append(lines, string(raw))
	}
	put(t, filepath.Join(home, ".cluster-migrate/journal.jsonl"), strings.Join(lines, "\n")+"\n")
	return home
}

func put(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(content), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func replies(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile("testdata/replies.json")
	must(t, err)
	var r map[string]any
	must(t, json.Unmarshal(raw, &r))
	return r
}

func call(t *testing.T, home, outcome string, more map[string]any) gjson.Result {
	t.Helper()
	arguments := map[string]any{"home": home, "outcome": outcome}
	for k, v := range more {
		arguments[k] = v
	}
	raw, err := json.Marshal(arguments)
	must(t, err)
	reply := Module().Run(t.Context(), raw, nil)
	if !gjson.ValidBytes(reply) {
		t.Fatalf("not JSON: %s", reply)
	}
	return gjson.ParseBytes(reply)
}

func lines(r gjson.Result, key string) string {
	var list []string
	for _, l := range r.Get(key).Array() {
		list = append(list, l.Str)
	}
	return strings.Join(list, "\n")
}

func TestMigrated(t *testing.T) {
	home := newHome(t)
	put(t, filepath.Join(home, ".cluster-migrate/report/quarantine.jsonl"), "{}\n{}\n")
	stale := filepath.Join(home, ".cluster-migrate/report/cluster-writes.jsonl")
	put(t, stale, "{}\n") // of the rollback before
	must(t, os.Chtimes(stale, time.Time{}, time.Date(2026, 11, 22, 1, 0, 10, 0, time.UTC)))
	fresh := filepath.Join(home, ".cluster-migrate/report/quarantine.jsonl")
	must(t, os.Chtimes(fresh, time.Time{}, time.Date(2026, 11, 22, 1, 6, 0, 0, time.UTC)))
	reply := call(t, home, migrated, map[string]any{"replies": replies(t), "host": "node1", "rollback_command": "ansible-playbook -i inventory.yml cidx.cluster.cluster_rollback -l node1"})
	if reply.Get("failed").Bool() || !reply.Get("changed").Bool() {
		t.Fatal(reply.Raw)
	}
	folder := filepath.Join(home, ".cluster-migrate/report")
	if got := lines(reply, "files"); got != folder+"/report.json\n"+folder+"/report.html" {
		t.Errorf("files: %s", got)
	}
	raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
	must(t, err)
	doc := gjson.ParseBytes(raw)
	for path, want := range map[string]string{
		"outcome": "migrated", "host": "node1", "share": "/mnt/cidx", "server.node_id": "node-1",
		"downtime.stopped": "2026-11-22T01:02:40Z", "downtime.healthy": "2026-11-22T01:07:00Z", "downtime.seconds": "260",
		"database.rows": "1234567", "database.tables.0.table": "audit_logs", "database.skipped_tables.0.why": "kept 7 days; the old file stays readable",
		"files.parts.#": "2", "files.passes.#": "2", "files.passes.0.files": "100", "files.passes.1.deleted": "1", "files.left_out.#": "1",
		"aliases.total": "2", "aliases.updated": "12", "accessible": "2", "artifacts.#": "2", "artifacts.0.lines": "2",
		"timeline.#": "9", "timeline.1.after_seconds": "60", "checks.0.step": "precheck", "warnings.0.step": "precheck",
		"steps.3.state": "done", "steps.4.state": "done", "steps.7.state": "unchanged", "problems.#": "0",
	} {
		if got := doc.Get(path).String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	wanted := "\nMigration complete!\nThis server is now the first node of the cluster.\nTo add more nodes: run 'scripts/cluster-join.sh' on each new server.\nEach needs this server's path: " + home + "\n" +
		"Downtime: 4 min 20 s\n1 warning: see the report\n2 lines in " + folder + "/quarantine.jsonl (rows that PostgreSQL cannot take)\n" +
		"\nRollback (if needed):\n  sudo systemctl stop cidx-server\n  cp " + home + "/config.json.pre-cluster " + home + "/config.json\n  sudo systemctl start cidx-server\n" +
		"or with the proof that everything is back:\n  ansible-playbook -i inventory.yml cidx.cluster.cluster_rollback -l node1"
	if diff := cmp.Diff(wanted, lines(reply, "lines")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lines(reply, "summary"), lines(reply, "lines")); diff != "" {
		t.Error(diff)
	}
}

func TestEveryReportIsKeptAndTheNextMigrationStartsAnew(t *testing.T) {
	home := newHome(t)
	call(t, home, failed, nil)
	call(t, home, migrated, map[string]any{"replies": replies(t)})
	reply := call(t, home, rolledBack, nil)
	if n := reply.Get("report.steps.#").Int(); n != 0 {
		t.Errorf("%d steps that are no part of a rollback", n)
	}
	if n := reply.Get("report.timeline.#").Int(); n != 0 {
		t.Errorf("%d events after a finished migration", n)
	}
	kept, err := filepath.Glob(filepath.Join(home, ".cluster-migrate/report/report-*.json"))
	must(t, err)
	if len(kept) != 3 {
		t.Errorf("kept %v", kept)
	}
}

func TestNothingIsWrittenWhereNothingWasChanged(t *testing.T) {
	for name, c := range map[string]struct {
		outcome string
		check   bool
	}{
		"a second run":               {already, false},
		"a verification":             {verified, false},
		"a rehearsal":                {rehearsed, false},
		"check mode":                 {rehearsed, true},
		"check mode of any outcome":  {migrated, true},
		"check mode of a rollback":   {rolledBack, true},
		"check mode after a failure": {failed, true},
	} {
		t.Run(name, func(t *testing.T) {
			home := newHome(t)
			before := snapshot(t, home)
			reply := call(t, home, c.outcome, map[string]any{"replies": replies(t), "_ansible_check_mode": c.check})
			if reply.Get("changed").Bool() || reply.Get("failed").Bool() || reply.Get("files.#").Int() != 0 {
				t.Error(reply.Raw)
			}
			if reply.Get("report.outcome").Str != c.outcome || !strings.HasPrefix(reply.Get("html").Str, "<!DOCTYPE html>") {
				t.Error("the documents are not in the reply")
			}
			if diff := cmp.Diff(before, snapshot(t, home)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			found[path] = fmt.Sprint(info.Mode(), info.ModTime(), info.Size())
		}
		return err
	}))
	return found
}

func TestASecondRunTellsOfTheMigrationBefore(t *testing.T) {
	home := newHome(t)
	call(t, home, migrated, nil)
	reply := call(t, home, already, nil)
	if reply.Get("report.timeline.#").Int() != 10 || reply.Get("report.downtime.stopped").Str == "" {
		t.Error(reply.Get("report.timeline").Raw)
	}
}

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
	reply := call(t, home, failed, map[string]any{"replies": r, "host": "node1", "service_manager": "command", "service_stop_command": "/opt/cidx stop", "service_start_command": "/opt/cidx start", "server": map[string]any{"running": false, "stopped": true, "server": "exit status 3"}})
	text := lines(reply, "lines")
	for _, want := range []string{
		"  done      server stopped", "  not done  server started in cluster mode\n  not done  server proven to work", "  done      configuration, databases and aliases kept aside", "  failed    databases in PostgreSQL", "  begun     repositories on the share", "  not done  server proven to work",
		`  ! users.17: column is_admin: not a boolean: "maybe" (fix: correct the row)`,
		"The server is down, and must not be started before", "To resume, when the cause is gone:\n  ansible-playbook cluster-migrate.yml -l node1",
		"  /opt/cidx stop\n  cp " + home + "/config.json.pre-cluster " + home + "/config.json\n  /opt/cidx start", "cluster-rollback.yml -l node1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if reply.Get("report.steps.3.state").Str != stepFailed || reply.Get("report.problems.0.step").Str != "database" || reply.Get("report.downtime.healthy").Str != "" {
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
			text := lines(call(t, newHome(t), failed, map[string]any{"replies": r, "host": "node1", "server": map[string]any{"running": true}}), "lines")
			for _, want := range []string{"  done      server stopped\n", c.want, "The server was started at 01:06:52 UTC, runs, and is not proven to work; leave it as it is"} {
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
		"stopped, started by somebody":           {[]string{stopping, stopped}, running, "something else has started it. Stop it before one of these:", true},
		"the stop failed, it runs, units rest":   {[]string{stopping}, running, "The server still runs: the stop has failed.", true},
		"the stop failed and was taken back":     {[]string{stopping, released}, running, "The server runs: it was not stopped.", false},
		"the stop failed after it went down":     {[]string{stopping}, down, "The server is down, and must not be started", true},
		"nothing was begun, it runs":             {nil, running, "The server runs: it was not stopped.", false},
		"nothing was begun, it was down already": {nil, down, "The server is down; this migration has not stopped it.", false},
		"started, runs":                          {[]string{stopping, stopped, starting}, running, "runs, and is not proven to work; leave it as it is", true},
		"started, down":                          {[]string{stopping, stopped, starting}, down, "and is down; do not start it before one of these:", true},
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
			reply := call(t, home, failed, map[string]any{"server": c.server, "host": "node1", "replies": map[string]any{"service": map[string]any{"failed": true, "msg": "x"}}})
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

func TestRehearsalForecasts(t *testing.T) {
	r := replies(t)
	r["files"].(map[string]any)["forecast"] = map[string]any{"downtime_seconds": 42.4}
	reply := call(t, newHome(t), rehearsed, map[string]any{"replies": r, "host": "node1", "_ansible_check_mode": true})
	text := lines(reply, "lines")
	for _, want := range []string{"1234567 rows of 2 tables", "(1 tables stay behind", "300 files, 16.6 GB, to /mnt/cidx", "rewrite 12 alias files", "Expected downtime for the files: 42 s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestNoSecretIsTold(t *testing.T) {
	r := replies(t)
	r["backup"].(map[string]any)["warnings"] = []any{"password is " + password, "see redis://:another-one@h/0"}
	home := newHome(t)
	reply := call(t, home, migrated, map[string]any{"replies": r, "host": "n"})
	page, err := os.ReadFile(filepath.Join(home, ".cluster-migrate/report/report.html"))
	must(t, err)
	document, err := os.ReadFile(filepath.Join(home, ".cluster-migrate/report/report.json"))
	must(t, err)
	for _, text := range []string{reply.Raw, string(page), string(document)} {
		for _, word := range []string{password, "plain-password", "another-one"} {
			if strings.Contains(text, word) {
				t.Errorf("%s is shown", word)
			}
		}
	}
}

func TestPageLoadsNothingAndQuotesWhatItShows(t *testing.T) {
	reply := call(t, newHome(t), migrated, map[string]any{"replies": replies(t)})
	page := reply.Get("html").Str
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|@import|url\(|src=|href=`).FindString(page); found != "" {
		t.Errorf("holds %q", found)
	}
	for _, want := range []string{"&lt;script&gt;alert(1)", "1\u202f234\u202f567", "16.6 GB", "4 min 20 s", "kept 7 days", "sudo systemctl stop cidx-server", "2/2", "11.79.0"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestALargeReplyIsShortenedAndTheFilesAreNot(t *testing.T) {
	home, large := newHome(t), many30000(t)
	reply := call(t, home, migrated, large)
	if len(reply.Raw) > 1<<20 || !reply.Get("truncated").Bool() {
		t.Errorf("%d bytes, truncated %v", len(reply.Raw), reply.Get("truncated"))
	}
	raw, err := os.ReadFile(filepath.Join(home, ".cluster-migrate/report/report.json"))
	must(t, err)
	if n := gjson.GetBytes(raw, "files.left_out.#").Int(); n != 30_001 {
		t.Errorf("the file holds %d entries", n)
	}
	if strings.Contains(lines(reply, "warnings"), "shortened") {
		t.Error("a warning, though the report on the node is complete")
	}
}

func TestAShortenedReportSaysSoWhereThereIsNoOther(t *testing.T) {
	large := many30000(t)
	reply := call(t, newHome(t), rehearsed, large)
	for name, text := range map[string]string{"the transcript": lines(reply, "warnings"), "report.json": reply.Get("report.warnings").Raw, "report.html": reply.Get("html").Str} {
		if !strings.Contains(text, "is shortened: ") || !strings.Contains(text, " of 30001 files left out") {
			t.Errorf("%s does not say so", name)
		}
	}
	if len(reply.Raw) > 1<<20 {
		t.Errorf("%d bytes", len(reply.Raw))
	}
}

// many30000 are arguments whose report is too large for a reply.
func many30000(t *testing.T) map[string]any {
	r := replies(t)
	var many []any
	for i := range 30_000 {
		many = append(many, map[string]any{"path": fmt.Sprintf("golden-repos/.locks/lock-number-%06d", i), "why": "lock"})
	}
	r["files"].(map[string]any)["left_out"] = many
	return map[string]any{"replies": r}
}

func TestAReportIsWrittenEvenWhereTheHomeIsDamaged(t *testing.T) {
	home := newHome(t)
	put(t, filepath.Join(home, "config.json"), `{"storage_mode":`)
	put(t, filepath.Join(home, ".cluster-migrate/database.json"), `{`)
	reply := call(t, home, failed, nil)
	if reply.Get("failed").Bool() || reply.Get("report.warnings.#").Int() != 2 {
		t.Error(reply.Raw)
	}
}

// "--tags report" on a standalone server must not call it the first node of a cluster.
func TestNoMigrationIsReportedWithoutItsCutOver(t *testing.T) {
	for name, journal := range map[string]string{
		"nothing was done":          "",
		"a cut-over was only begun": `{"time":"2026-11-22T01:00:00Z","module":"cidx_config","event":"begun","data":{"state":"cluster"}}` + "\n",
		"it was rolled back":        `{"time":"2026-11-22T01:00:00Z","module":"cidx_config","event":"done","data":{"state":"standalone"}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			home := newHome(t)
			put(t, filepath.Join(home, ".cluster-migrate/journal.jsonl"), journal)
			reply := call(t, home, migrated, map[string]any{"host": "node1"})
			if !reply.Get("failed").Bool() || !strings.Contains(reply.Get("msg").Str, "the cut-over has not taken place") {
				t.Error(reply.Raw)
			}
			if _, err := os.Stat(filepath.Join(home, ".cluster-migrate/report")); err == nil || strings.Contains(lines(reply, "lines"), "complete") {
				t.Error("a migration was reported")
			}
		})
	}
}

// At this moment the server is migrated and proven: that its report finds no
// place on the node makes no failure of it.
func TestAReportThatTheNodeCannotKeepIsInTheReply(t *testing.T) {
	home := newHome(t)
	folder := filepath.Join(home, ".cluster-migrate/report")
	must(t, os.RemoveAll(folder))
	put(t, folder, "no folder")
	reply := call(t, home, migrated, map[string]any{"replies": replies(t), "host": "node1"})
	if reply.Get("failed").Bool() {
		t.Fatal(reply.Raw)
	}
	if warning := reply.Get("warnings.0").Str; !strings.Contains(warning, "the report cannot be kept on the node: ") || !strings.Contains(warning, folder) {
		t.Errorf("warnings: %s", reply.Get("warnings").Raw)
	}
	if files := reply.Get("files").Raw; files != "[]" {
		t.Errorf("files: %s", files)
	}
	if reply.Get("report.outcome").Str != migrated || !strings.Contains(reply.Get("html").Str, "</html>") {
		t.Error("the documents are not in the reply")
	}
	if text := lines(reply, "lines"); !strings.Contains(text, "Migration complete!") {
		t.Errorf("lines: %s", text)
	}
}

func TestQuoted(t *testing.T) {
	for word, want := range map[string]string{"node1": "node1", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "/home/cidx/.cidx-server/config.json": "/home/cidx/.cidx-server/config.json", "$(x)": "'$(x)'"} {
		if got := quoted(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}

// The journal, the names in replies, an operator's start command of two lines.
func TestReportShowsForeignTextInOneLine(t *testing.T) {
	const hostile = "x\nMigration complete!\r\x1b[2J\u009b2J\u202e\u2028"
	home := t.TempDir()
	put(t, filepath.Join(home, "config.json.pre-cluster"), `{"storage_mode":"sqlite"}`)
	state := cidx.State(filepath.Join(home, ".cluster-migrate"))
	if err := journal.Append(state.Journal(), "cidx_files", "warm", map[string]any{"name": hostile}); err != nil {
		t.Fatal(err)
	}
	must(t, journal.Append(state.Journal(), "cidx_service", "stopped", nil))
	raw, err := os.ReadFile(state.Journal())
	if err != nil || printable.Text(string(raw)) != string(raw) {
		t.Errorf("journal: %v %q", err, raw)
	}
	a := args{Common: cidx.Common{Home: home}, Outcome: failed, Host: "node1", Manager: "command", Start: "cd /srv\n./start\n", Stop: "./stop", Replies: map[string]any{
		"files": map[string]any{"failed": true, "msg": "copy " + hostile, "left_out": []any{map[string]any{"path": hostile, "why": hostile}}, "warnings": []any{hostile}},
	}}
	reply, err := run(t.Context(), a, ansible.Mode{Check: true})
	if err != nil {
		t.Fatal(err)
	}
	document, page := string(reply.Data["report"].(json.RawMessage)), reply.Data["html"].(string)
	for name, text := range map[string]string{"report": document, "page": page, "summary": strings.Join(reply.Data["summary"].([]string), "\n")} {
		if printable.Text(text) != text {
			t.Errorf("%s: hostile characters", name)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "Migration complete!") {
				t.Errorf("%s: a line of its own: %q", name, line)
			}
		}
		if !strings.Contains(text, `Migration complete!`) {
			t.Errorf("%s: the name is not shown", name)
		}
	}
	if !slices.Contains(reply.Data["summary"].([]string), "  ./start") {
		t.Errorf("a command of two lines: %q", reply.Data["summary"])
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
			reply := call(t, home, failed, map[string]any{"host": "node1", "replies": map[string]any{"service": map[string]any{"failed": true, "msg": "x"}}})
			text := lines(reply, "lines")
			if strings.Contains(text, "pre-cluster") || !strings.Contains(text, "ansible-playbook cluster-rollback.yml -l node1") {
				t.Errorf("got\n%s", text)
			}
		})
	}
}
