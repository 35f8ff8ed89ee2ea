// Package codes names the kinds of problems and warnings, for programs: which code a text has.
// It knows nobody who words one; its test reads them off the sources.
package codes

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

// Other is the code of what no line fits.
const Other = "other"

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

// Of is the code of the wording that says most of the text.
func Of(text string) string {
	best := wording{code: Other}
	for _, w := range wordings {
		if w.fixed > best.fixed && w.fits(text) {
			best = w
		}
	}
	return best.code
}
