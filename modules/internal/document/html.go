package document

import (
	"bytes"
	_ "embed" // for page.html
	"encoding/json"
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
	"many":    human.Number[int64],
	"count":   human.Count[int64],
	"word":    word,
	"brief":   brief,
	"entries": func(title string, list []Entry) listing { return listing{title, list} },
}).Parse(pageText))

// word is the one that fits a number.
func word(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// listing is a titled list of paths in the page.
type listing struct {
	Title string
	List  []Entry
}

// HTML renders report.html.
func (d *Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}

// Total is what lies on the share, or will.
func (d *Report) Total() (total Part) {
	for _, p := range d.Files.Parts {
		total.Files, total.Bytes = total.Files+p.Files, total.Bytes+p.Bytes
	}
	return total
}

// brief shows an event's data in one line.
func brief(data map[string]any) string {
	raw, err := json.Marshal(data)
	if err != nil || len(data) == 0 {
		return ""
	}
	return strings.NewReplacer(`":`, ": ", `,"`, ", ", `"`, "").Replace(string(raw[1 : len(raw)-1]))
}
