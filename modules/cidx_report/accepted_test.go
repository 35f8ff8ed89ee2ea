package report

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cidx-cluster/modules/internal/document"
)

const record = `{"time": "2026-11-29T10:00:00Z", "by": "ann@controller", "removed": [
	{"path": "/srv/data/golden-repos.pre-cluster", "what": "folder of the standalone server", "files": 12, "bytes": 3400000}]}`

// What was accepted is said in the transcript, in JSON and in HTML, and no rollback
// is offered any more, in no outcome.
func TestAnAcceptanceIsReported(t *testing.T) {
	home := newHome(t)
	call(t, home, document.Migrated, nil)
	put(t, filepath.Join(home, ".cluster-migrate/accepted.json"), record)
	r := replies(t)
	r[accepting] = map[string]any{"changed": true, "msg": "this migration was accepted"}
	reply := call(t, home, document.Accepted, map[string]any{"replies": r, "host": "node1"})
	text := lines(reply, "lines")
	for _, want := range []string{"Migration accepted", "Removed: 12 files; 3.4 MB came free", "There is no rollback any more: this migration was accepted at 2026-11-29 10:00 UTC by ann@controller."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if got := reply.Get("report.acceptance"); got.Get("by").Str != "ann@controller" || got.Get("bytes").Int() != 3400000 || !reply.Get("changed").Bool() || !reply.Get("report.steps.#(name==accept)").Exists() {
		t.Errorf("%s", reply.Get("report").Raw)
	}
	for _, want := range []string{"Accepted: this server stays a cluster node", "golden-repos.pre-cluster", "There is no rollback any more"} {
		if !strings.Contains(reply.Get("html").Str, want) {
			t.Errorf("%q is missing in the page", want)
		}
	}
	for _, outcome := range []string{document.Already, document.Verified, document.Accepted} {
		before := snapshot(t, home)
		r[accepting] = map[string]any{"changed": false}
		again := call(t, home, outcome, map[string]any{"replies": r, "host": "node1"})
		if text := lines(again, "lines"); strings.Contains(text, "cluster-rollback.yml") || strings.Contains(again.Get("html").Str, "cluster-rollback.yml") || again.Get("changed").Bool() {
			t.Errorf("%s: changed %s, or a rollback is offered:\n%s", outcome, again.Get("changed").Raw, text)
		}
		if diff := cmp.Diff(before, snapshot(t, home)); diff != "" {
			t.Errorf("%s: %s", outcome, diff)
		}
	}
}
