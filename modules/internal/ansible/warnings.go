package ansible

import (
	"fmt"
	"strings"
)

// ofAKind is how many warnings of one kind the transcript shows.
const ofAKind = 5

// grouped is the list as the transcript shows it: of each kind the first few,
// then how many more there are. The reply carries all of them besides.
func grouped(all []string) []string {
	var kinds []string
	members := map[string][]string{}
	for _, w := range all {
		k := Kind(w)
		if members[k] == nil {
			kinds = append(kinds, k)
		}
		members[k] = append(members[k], w)
	}
	var shown []string
	for _, k := range kinds {
		list := members[k]
		if len(list) <= ofAKind+1 {
			shown = append(shown, list...)
			continue
		}
		shown = append(shown, list[:ofAKind]...)
		shown = append(shown, fmt.Sprintf("%d more like these five: %s (all %d are in the report)", len(list)-ofAKind, k, len(list)))
	}
	return shown
}

// Kind is a warning without what differs from one to the next: the place that it
// begins with, paths, names in quotes, and numbers.
func Kind(warning string) string {
	const gap = "…"
	text := warning
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		if _, after, ok := strings.Cut(text, ": "); ok { // the path may hold spaces
			text = gap + ": " + after
		}
	}
	var words []string
	quoted := false
	for w := range strings.FieldsSeq(text) {
		varies := quoted || strings.ContainsAny(w, `/"0123456789\`)
		if strings.Count(w, `"`)%2 == 1 {
			quoted = !quoted
		}
		if !varies {
			words = append(words, w)
			continue
		}
		if end := w[len(w)-1:]; len(w) > 1 && strings.Contains(",;:", end) {
			w = gap + end
		} else {
			w = gap
		}
		if n := len(words); n == 0 || words[n-1] != gap {
			words = append(words, w)
		} else {
			words[n-1] = w
		}
	}
	return strings.Join(words, " ")
}
