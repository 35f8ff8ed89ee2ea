package report

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cidx-cluster/modules/internal/document"
)

// Each outcome's report as a reader sees it: Chromium opens it at 390 and 1280 pixels, light
// and dark. Nothing scrolls sideways or sticks out, every text stands out from its background,
// every stacked cell has its label, nothing is written to the console; on paper no section is missing.
func TestReportsInABrowser(t *testing.T) {
	browser := chromium(t)
	pages := browserPages(t)
	if folder := os.Getenv("KEEP_PAGES"); folder != "" {
		must(t, os.MkdirAll(folder, 0o755))
		for name, page := range pages {
			must(t, os.WriteFile(filepath.Join(folder, name+".html"), []byte(page), 0o644))
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".html")
		if name == "probe" {
			http.ServeFile(w, r, "testdata/probe.html")
			return
		}
		if pages[name] == "" { // the browser asks for an icon of its own accord
			w.Header().Set("Content-Type", "image/svg+xml")
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(pages[name]))
	}))
	defer server.Close()
	var names []string
	for name := range pages {
		names = append(names, name)
	}
	for scheme, setting := range map[string]string{"dark": "0", "light": "1"} {
		t.Run(scheme, func(t *testing.T) {
			dom := browse(t, browser, "--blink-settings=preferredColorScheme="+setting, "--virtual-time-budget=20000", "--dump-dom", server.URL+"/probe.html?names="+strings.Join(names, ","))
			seen := judged(t, dom, scheme == "dark")
			if seen != 2*len(pages) {
				t.Errorf("%d of %d pages were looked at", seen, 2*len(pages))
			}
		})
	}
	for name, page := range pages {
		t.Run("printed/"+name, func(t *testing.T) { printed(t, browser, server.URL+"/"+name+".html", page) })
	}
}

// judged reports what the probe has found, and how many pages it saw.
func judged(t *testing.T, dom string, dark bool) int {
	t.Helper()
	_, text, _ := strings.Cut(dom, `<pre id="found">`)
	text, _, _ = strings.Cut(text, "</pre>")
	var list []struct {
		Name, What, Back string
		Width            int
		Dark             *bool
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(text)), &list); err != nil {
		t.Fatalf("the probe gave no answer: %v\n%.2000s", err, dom)
	}
	seen := 0
	for _, f := range list {
		switch {
		case f.What != "":
			t.Errorf("%s at %d pixels: %s", f.Name, f.Width, f.What)
		case f.Dark == nil || *f.Dark != dark || (f.Back == "rgb(255, 255, 255)") == dark:
			t.Errorf("%s at %d pixels has the wrong scheme: %s", f.Name, f.Width, f.Back)
		default:
			seen++
		}
	}
	return seen
}

var tags = regexp.MustCompile(`(?s)<style>.*?</style>|<title>.*?</title>|<[^>]*>`)

// printed holds the PDF against the page: every word of it is there.
func printed(t *testing.T, browser, url, page string) {
	path := filepath.Join(t.TempDir(), "report.pdf")
	browse(t, browser, "--no-pdf-header-footer", "--print-to-pdf="+path, url)
	raw, err := exec.Command("pdftotext", "-layout", path, "-").CombinedOutput()
	if err != nil {
		t.Fatalf("pdftotext: %v: %s", err, raw)
	}
	squeeze := func(s string) string { return regexp.MustCompile(`[\s\f]+`).ReplaceAllString(s, "") }
	got := string(raw)
	for _, heading := range regexp.MustCompile(`<(?:h1|h2|summary)[^>]*>(.*?)</`).FindAllStringSubmatch(page, -1) {
		if want := html.UnescapeString(tags.ReplaceAllString(heading[1], "")); !strings.Contains(squeeze(got), squeeze(want)) {
			t.Errorf("not on paper: %s", want)
		}
	}
	missing := 0
	for word := range strings.FieldsSeq(html.UnescapeString(tags.ReplaceAllString(page, " "))) {
		if len(word) < 12 && !strings.Contains(word, "-") && !strings.Contains(got, word) {
			missing++
			t.Logf("not on paper: %s", word)
		}
	}
	if missing > 0 {
		t.Errorf("%d words are not on paper", missing)
	}
}

// chromium finds the browser. Only on a developer's machine it may be missing: build/setup.sh test installs it.
func chromium(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if _, without := exec.LookPath("pdftotext"); err == nil && without == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("chromium or pdftotext is missing: run build/setup.sh test")
	}
	t.Skip("chromium or pdftotext is missing: build/setup.sh test installs them")
	return ""
}

// browse runs the browser to its end, and fails on anything in the page's console.
func browse(t *testing.T, browser string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	profile := t.TempDir()
	cmd := exec.CommandContext(ctx, browser, append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--user-data-dir=" + profile}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+profile, "TZ=UTC")
	cmd.WaitDelay = 5 * time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%.3000s", err, log.String())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, ":CONSOLE") {
			t.Errorf("on the console: %s", line)
		}
	}
	return out.String()
}

// browserPages are the reports of all outcomes, with long and awkward words.
func browserPages(t *testing.T) map[string]string {
	t.Helper()
	long := "/mnt/cidx/golden-repos/" + strings.Repeat("a-folder-with-a-long-name/", 8) + strings.Repeat("x", 120)
	pages := map[string]string{}
	for _, c := range []struct{ name, outcome, subject string }{
		{"rehearsed", document.Rehearsed, ""}, {"migrated", document.Migrated, ""}, {"already", document.Already, ""}, {"refused", document.Refused, ""}, {"failed", document.Failed, ""},
		{"rolled-back", document.RolledBack, ""}, {"rollback-failed", document.Failed, document.OfRollback}, {"verified", document.Verified, ""}, {"accepted", document.Accepted, ""},
		{"added", document.Verified, document.OfAddition}, {"not-added", document.Refused, document.OfAddition}, {"taken-out", document.Absent, ""},
	} {
		home := newHome(t)
		put(t, filepath.Join(home, ".cluster-migrate/report/quarantine.jsonl"), "{}\n")
		put(t, filepath.Join(home, ".cluster-migrate/database.json"), `{"tables":{"users":{"rows":45,"digest":"`+strings.Repeat("0123456789abcdef", 4)+`"}}}`)
		if c.outcome == document.Accepted {
			put(t, filepath.Join(home, ".cluster-migrate/accepted.json"), record)
		}
		r := replies(t)
		r["precheck"].(map[string]any)["all_warnings"] = []any{"the host's zone is assumed for old times", "not read: " + long}
		r["files"].(map[string]any)["repaired"] = []any{map[string]any{"path": long, "why": "differs"}}
		r["database_rehearsal"] = map[string]any{"check_mode": true, "rows": 1234000, "seconds": 20}
		r["service_rehearsal"] = map[string]any{"check_mode": true, "earlier": map[string]any{"stops": []float64{2, 4}}}
		r["files_rehearsal"] = map[string]any{"check_mode": true, "parts": map[string]any{"golden-repos": map[string]any{"files": 299, "bytes": 16000000000}}, "forecast": map[string]any{"warm_seconds": 60, "delta_seconds": 4}}
		if c.outcome == document.Failed || c.outcome == document.Refused {
			r["files"] = map[string]any{"failed": true, "msg": "1 problem", "problems": []any{
				map[string]any{"what": "unreadable: permission denied", "at": long, "fix": "make it readable, and run cluster-migrate.yml again"},
				map[string]any{"what": `column is_admin: not a boolean: "maybe"`, "at": "users.17", "fix": "correct the row"}}}
		}
		arguments := map[string]any{
			"replies": r, "host": "node1", "server": map[string]any{"running": false, "stopped": true, "server": "inactive"}, "_ansible_check_mode": c.outcome == document.Refused,
			"command": "ansible-playbook -i inventory/prod/hosts.yml --vault-id prod@prompt cluster-migrate.yml -l node1", "inline": "cidx_url",
			"run": map[string]any{"check": c.outcome == document.Rehearsed, "user": "ann", "controller": "desk", "folder": "/srv/ansible/cidx-cluster", "ansible_core": "2.21.0"},
		}
		if c.subject != "" {
			arguments["subject"] = c.subject
		}
		pages[c.name] = call(t, home, c.outcome, arguments).Get("html").Str
	}
	return pages
}
