package ansible

import (
	"fmt"
	"strings"
)

// foldAt is the longest line of generated YAML, roughly.
const foldAt = 110

// folder writes long sentences as folded block scalars, which the YAML encoder
// cannot: it leaves a token in their place and replaces it afterwards.
type folder struct {
	texts []string
}

func (f *folder) text(s string) string {
	if len(s) < foldAt-30 || strings.Contains(s, "\n") {
		return s
	}
	f.texts = append(f.texts, s)
	return fmt.Sprintf("folded-text-%d-", len(f.texts)-1)
}

func (f *folder) list(sentences ...string) []string {
	out := make([]string, len(sentences))
	for i, s := range sentences {
		out[i] = f.text(s)
	}
	return out
}

// unfold puts the texts into the document.
func (f *folder) unfold(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		for i, text := range f.texts {
			token := fmt.Sprintf("folded-text-%d-", i)
			if head, ok := strings.CutSuffix(strings.TrimRight(line, "\n"), token); ok {
				indent := strings.Repeat(" ", len(head)-len(strings.TrimLeft(head, " "))+2)
				line = head + ">-\n" + wrap(text, indent)
				break
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

func wrap(text, indent string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > foldAt:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteString("\n")
	return b.String()
}
