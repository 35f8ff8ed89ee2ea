package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
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
	maps.Copy(arguments, more)
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
	reply := call(t, home, document.Migrated, map[string]any{"replies": replies(t), "host": "node1", "rollback_command": "ansible-playbook -i inventory.yml cidx.cluster.cluster_rollback -l node1"})
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
	wanted := "\nMigration complete!\nThis server is now the first node of the cluster.\nTo add more nodes: run 'scripts/cluster-join.sh' on each new server.\nEach needs this server's path: " + home + "\nThen cluster-node.yml -l <its name> makes it one, and verifies it.\n" +
		"Downtime: 4 min 20 s\n1 warning, complete in the report:\n     1 × the host's zone is assumed for old times\n2 lines in " + folder + "/quarantine.jsonl (rows that PostgreSQL cannot take)\n" +
		"\nRollback (if needed):\n  sudo systemctl stop cidx-server &&\n  cp " + home + "/config.json.pre-cluster " + home + "/config.json &&\n  sudo systemctl start cidx-server\n" +
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
	call(t, home, document.Failed, nil)
	call(t, home, document.Migrated, map[string]any{"replies": replies(t)})
	reply := call(t, home, document.RolledBack, nil)
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
		"a second run":               {document.Already, false},
		"a verification":             {document.Verified, false},
		"a rehearsal":                {document.Rehearsed, false},
		"check mode":                 {document.Rehearsed, true},
		"check mode of any outcome":  {document.Migrated, true},
		"check mode of a rollback":   {document.RolledBack, true},
		"check mode after a failure": {document.Failed, true},
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
	call(t, home, document.Migrated, nil)
	reply := call(t, home, document.Already, nil)
	if reply.Get("report.timeline.#").Int() != 10 || reply.Get("report.downtime.stopped").Str == "" {
		t.Error(reply.Get("report.timeline").Raw)
	}
}

func TestRehearsalForecasts(t *testing.T) {
	reply := call(t, newHome(t), document.Rehearsed, map[string]any{"replies": replies(t), "host": "node1", "_ansible_check_mode": true})
	text := lines(reply, "lines")
	for _, want := range []string{"1,234,567 rows of 2 tables", "1 table would stay behind, each for a reason that is in the report.", "300 files, 16.6 GB, to /mnt/cidx", "rewrite 12 alias files"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestAReportIsWrittenEvenWhereTheHomeIsDamaged(t *testing.T) {
	home := newHome(t)
	put(t, filepath.Join(home, "config.json"), `{"storage_mode":`)
	put(t, filepath.Join(home, ".cluster-migrate/database.json"), `{`)
	reply := call(t, home, document.Failed, nil)
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
			reply := call(t, home, document.Migrated, map[string]any{"host": "node1"})
			if !reply.Get("failed").Bool() || !strings.Contains(reply.Get("msg").Str, "the cut-over has not taken place") {
				t.Error(reply.Raw)
			}
			if _, err := os.Stat(filepath.Join(home, ".cluster-migrate/report")); err == nil || strings.Contains(lines(reply, "lines"), "complete") {
				t.Error("a migration was reported")
			}
		})
	}
}
