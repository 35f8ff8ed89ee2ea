package report

import (
	_ "embed" // for codes.tsv
	"strings"
)

// codesText has a line for each wording of a problem or a warning: its code, a tab,
// and the text, with … in the place of what differs from case to case. The code stays
// when the wording changes; TestEveryProblemHasACode keeps the texts as the sources
// have them.
//
//go:embed codes.tsv
var codesText string

// other is the code of what no line fits; ofPlaybook that of what the playbook itself
// refuses: how it was called, and what the inventory says.
const (
	other      = "other"
	ofPlaybook = "playbook"
)

// wording is a line of codesText.
type wording struct {
	code  string
	parts []string // of the text, between what differs
	fixed int      // how much of the text is always the same
}

var wordings = parseWordings(codesText)

func parseWordings(text string) []wording {
	var list []wording
	for line := range strings.Lines(text) {
		if code, pattern, found := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); found {
			list = append(list, wording{code, strings.Split(pattern, "…"), len(strings.ReplaceAll(pattern, "…", ""))})
		}
	}
	return list
}

// fits reports whether a text has these words.
func (w wording) fits(text string) bool {
	rest, found := strings.CutPrefix(text, w.parts[0])
	if !found || len(w.parts) == 1 {
		return found && rest == ""
	}
	last := len(w.parts) - 1
	for _, part := range w.parts[1:last] {
		if _, rest, found = strings.Cut(rest, part); !found {
			return false
		}
	}
	return strings.HasSuffix(rest, w.parts[last])
}

// codeOf is that of the wording that says most of the text.
func codeOf(text string) string {
	best := wording{code: other}
	for _, w := range wordings {
		if w.fixed > best.fixed && w.fits(text) {
			best = w
		}
	}
	return best.code
}

// codes names the kind of every problem and warning.
func (d *document) codes() {
	for i, p := range d.Problems {
		if d.Problems[i].Code = codeOf(p.What); d.Problems[i].Code == other && p.Step == ofPlaybook {
			d.Problems[i].Code = ofPlaybook
		}
	}
	for i, w := range d.Warnings {
		d.Warnings[i].Code = codeOf(w.Text)
	}
}
