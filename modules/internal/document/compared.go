package document

import (
	"strings"

	"cidx-cluster/modules/internal/human"
)

// compared is a line of forecast and fact.
type compared struct{ What, Forecast, Fact, From string }

// Compared sets the forecast beside what came of it.
func (d *Report) Compared() []compared {
	if d.Forecast == nil {
		return nil
	}
	fact := d.Fact
	if fact == nil {
		fact = &Moved{}
	}
	list := []compared{
		{"rows to PostgreSQL", human.Number(d.Forecast.Rows), human.Number(fact.Rows), ""},
		{"files on the share", human.Number(d.Forecast.Files), human.Number(fact.Files), ""},
		{"their size", human.Bytes(d.Forecast.Bytes), human.Bytes(fact.Bytes), ""},
		{"alias files to rewrite", human.Number(d.Forecast.Aliases), human.Number(fact.Aliases), ""},
		{"copy while the server answers", known(d.Forecast.Warm), known(fact.Warm), ""},
	}
	if e := d.Forecast.Downtime; e != nil {
		list = append(list, compared{"downtime", span(e.Least, e.Most), known(d.Downtime.Seconds), "the sum of these"})
		for _, p := range e.Parts {
			list = append(list, compared{"– " + p.What, span(p.Least, p.Most), "", p.From})
		}
		for _, what := range e.Unknown {
			list = append(list, compared{"– " + what, "not known", "", "comes on top"})
		}
	}
	if d.Fact == nil {
		for i := range list {
			list[i].Fact = ""
		}
	}
	return list
}

func span(least, most float64) string { return human.Seconds(least) + " to " + human.Seconds(most) }

// known is a time, or that it is not known.
func known(seconds float64) string {
	if seconds == 0 {
		return "not known"
	}
	return human.Seconds(seconds)
}

// Expected is a forecast of the downtime from what the rehearsal of this run has
// measured on this very data, and what the unit's journal shows of earlier stops
// and starts. Seconds.
type Expected struct {
	Least   float64  `json:"least_seconds"`
	Most    float64  `json:"most_seconds"`
	Parts   []Span   `json:"parts"`
	Unknown []string `json:"unknown"` // what comes on top, and nothing is known of
}

// Span is one part of a downtime.
type Span struct {
	What  string  `json:"what"`
	Least float64 `json:"least_seconds"`
	Most  float64 `json:"most_seconds"`
	From  string  `json:"from"` // what it was derived from
}

// Add adds a part.
func (e *Expected) Add(what string, least, most float64, from string) {
	e.Parts = append(e.Parts, Span{what, human.Tenths(least), human.Tenths(most), from})
	e.Least, e.Most = human.Tenths(e.Least+least), human.Tenths(e.Most+most)
}

// lines tell it, below a word for what it is.
func (e *Expected) lines(word string) []string {
	lines := []string{word + ": " + span(e.Least, e.Most)}
	if len(e.Unknown) > 0 {
		lines = append(lines, "  and "+strings.Join(e.Unknown, " and ")+", of which no journal tells")
	}
	return lines
}
