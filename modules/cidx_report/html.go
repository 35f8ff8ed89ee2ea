package report

import (
	"bytes"
	_ "embed" // for page.html
	"fmt"
	"html/template"
	"strings"
	"time"

	"cidx-cluster/modules/internal/human"
)

//go:embed page.html
var pageText string

// page is report.html: one file, no script, nothing loaded from elsewhere.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"size":    human.Bytes[int64],
	"spell":   human.Seconds,
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
	"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"many":    human.Number[int64],
	"told":    func(name string) string { return told[name] },
	"brief":   brief,
	"entries": func(title string, list []entry) listing { return listing{title, list} },
}).Parse(pageText))

// listing is a titled list of paths in the page.
type listing struct {
	Title string
	List  []entry
}

// html renders report.html.
func (d *document) html() ([]byte, error) {
	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}

// Good reports whether the outcome needs no further action.
func (d *document) Good() bool { return d.Outcome != failed && len(d.Problems) == 0 }

// Headline is the outcome in words.
func (d *document) Headline() string {
	switch d.Outcome {
	case migrated:
		return "Migrated: this server is the first node of the cluster"
	case already:
		return "Migrated before: nothing was changed"
	case rehearsed:
		if len(d.Problems) > 0 {
			return "Rehearsed: a migration would fail"
		}
		return "Rehearsed: a migration can go ahead"
	case failed:
		return "The migration failed"
	case accepted:
		return "Accepted: this server stays a cluster node"
	case rolledBack:
		if d.Check {
			return "Rehearsal of the rollback: nothing was changed"
		}
		return "Rolled back: the standalone server runs again"
	}
	return "Verified"
}

// TotalBytes is what lies on the share, or will.
func (d *document) TotalBytes() int64 {
	var n int64
	for _, p := range d.Files.Parts {
		n += p.Bytes
	}
	return n
}

// TotalFiles is the number of files on the share.
func (d *document) TotalFiles() int64 {
	var n int64
	for _, p := range d.Files.Parts {
		n += p.Files
	}
	return n
}

// brief shows an event's data in a few words.
func brief(data map[string]any) string {
	const longest = 160
	if len(data) == 0 {
		return ""
	}
	text := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(data), "map["), "]")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
