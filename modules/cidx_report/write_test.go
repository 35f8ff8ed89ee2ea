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

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/ansible"
	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/home"
	"cidx-cluster/modules/internal/journal"
	"cidx-cluster/modules/internal/printable"
)

func TestNoSecretIsTold(t *testing.T) {
	r := replies(t)
	r["backup"].(map[string]any)["all_warnings"] = []any{"password is " + password, "see redis://:another-one@h/0"}
	home := newHome(t)
	reply := call(t, home, document.Migrated, map[string]any{"replies": r, "host": "n"})
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
	reply := call(t, newHome(t), document.Migrated, map[string]any{"replies": replies(t)})
	page := reply.Get("html").Str
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|@import|url\(|src=|href=`).FindString(page); found != "" {
		t.Errorf("holds %q", found)
	}
	for _, want := range []string{"&lt;script&gt;alert(1)", "1,234,567", "16.6 GB", "4 min 20 s", "kept 7 days", "sudo systemctl stop cidx-server", "2/2", "11.79.0"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestALargeReplyIsShortenedAndTheFilesAreNot(t *testing.T) {
	home, large := newHome(t), many30000(t)
	reply := call(t, home, document.Migrated, large)
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
	reply := call(t, newHome(t), document.Rehearsed, large)
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

// At this moment the server is migrated and proven: that its report finds no
// place on the node makes no failure of it.
func TestAReportThatTheNodeCannotKeepIsInTheReply(t *testing.T) {
	home := newHome(t)
	folder := filepath.Join(home, ".cluster-migrate/report")
	must(t, os.RemoveAll(folder))
	put(t, folder, "no folder")
	reply := call(t, home, document.Migrated, map[string]any{"replies": replies(t), "host": "node1"})
	if reply.Get("failed").Bool() {
		t.Fatal(reply.Raw)
	}
	if warning := reply.Get("warnings.0").Str; !strings.Contains(warning, "the report cannot be kept on the node: ") || !strings.Contains(warning, folder) {
		t.Errorf("warnings: %s", reply.Get("warnings").Raw)
	}
	if files := reply.Get("files").Raw; files != "[]" {
		t.Errorf("files: %s", files)
	}
	if reply.Get("report.outcome").Str != document.Migrated || !strings.Contains(reply.Get("html").Str, "</html>") {
		t.Error("the documents are not in the reply")
	}
	if text := lines(reply, "lines"); !strings.Contains(text, "Migration complete!") {
		t.Errorf("lines: %s", text)
	}
}

// The journal, the names in replies, an operator's start command of two lines.
func TestReportShowsForeignTextInOneLine(t *testing.T) {
	const hostile = "x\nMigration complete!\r\x1b[2J\u009b2J\u202e\u2028"
	dir := t.TempDir()
	put(t, filepath.Join(dir, "config.json.pre-cluster"), `{"storage_mode":"sqlite"}`)
	state := home.State(filepath.Join(dir, ".cluster-migrate"))
	if err := journal.Append(state.Journal(), "cidx_files", "warm", map[string]any{"name": hostile}); err != nil {
		t.Fatal(err)
	}
	must(t, journal.Append(state.Journal(), "cidx_service", "stopped", nil))
	raw, err := os.ReadFile(state.Journal())
	if err != nil || printable.Text(string(raw)) != string(raw) {
		t.Errorf("journal: %v %q", err, raw)
	}
	a := args{Common: home.Common{Home: dir}, Outcome: document.Failed, Host: "node1", Manager: "command", Start: "cd /srv\n./start\n", Stop: "./stop", Replies: map[string]any{
		"files": map[string]any{"failed": true, "msg": "copy " + hostile, "left_out": []any{map[string]any{"path": hostile, "why": hostile}}, "all_warnings": []any{hostile}},
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

func TestEveryTableHasAHeaderAndTheDowntimeIsDrawn(t *testing.T) {
	page := call(t, newHome(t), document.Migrated, map[string]any{"replies": replies(t)}).Get("html").Str
	for _, table := range strings.Split(page, "<table>")[1:] {
		if !strings.HasPrefix(table, "<thead><tr><th") {
			t.Errorf("no header: %.80s", table)
		}
	}
	if !strings.Contains(page, `<title>the server was down</title>`) {
		t.Error("the downtime is not drawn")
	}
	if !strings.Contains(page, "cidx-cluster "+ansible.Version) {
		t.Error("the version is missing")
	}
}
