package report

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/human"
)

// expected is a forecast of the downtime from what the rehearsal of this run has
// measured on this very data, and what the unit's journal shows of earlier stops
// and starts. Seconds.
type expected struct {
	Least   float64  `json:"least_seconds"`
	Most    float64  `json:"most_seconds"`
	Parts   []span   `json:"parts"`
	Unknown []string `json:"unknown"` // what comes on top, and nothing is known of
}

// span is one part of a downtime.
type span struct {
	What  string  `json:"what"`
	Least float64 `json:"least_seconds"`
	Most  float64 `json:"most_seconds"`
	From  string  `json:"from"` // what it was derived from
}

// How a step after the stop compares with its rehearsal: what was warm is
// looked through again, and at worst done once more from the start, on a disk
// that is slower than it was.
const (
	databaseLeast, databaseMost = 0.05, 1.5
	filesLeast, filesMost       = 0.3, 3 // the delta, and the proof directly before the cut-over
	smallLeast, smallMost       = 0.3, 3
)

// calls of modules are made between stop and health; Ansible needs that many
// seconds for each, more on slow controllers and connections.
const (
	calls                 = 14
	callLeast, callMost   = 0.1, 3
	copyFastest, copySlow = 2e9, 50e6 // bytes a second: the private copy of the databases
)

// expect is nil where no rehearsal has gone through.
func expect(replies []reply) *expected {
	e := &expected{Parts: []span{}, Unknown: []string{}}
	rehearsals := map[string]gjson.Result{}
	var room gjson.Result
	for _, r := range replies {
		switch {
		case r.step() == "precheck":
			room = r.Get("forecast.snapshot_bytes")
		case r.Get("check_mode").Bool() && !r.Get("failed").Bool() && !r.Get("skipped").Bool():
			rehearsals[r.step()] = r.Result
		}
	}
	if !rehearsals["database"].Exists() || !rehearsals["files"].Exists() {
		return nil
	}
	e.earlier("the server's stop", rehearsals["service"].Get("earlier.stops"))
	e.add("private copies of the databases", room.Float()/copyFastest, room.Float()/copySlow, "their size")
	seconds := rehearsals["database"].Get("seconds").Float()
	e.add("databases", databaseLeast*seconds, databaseMost*seconds, "their rehearsal")
	seconds = max(rehearsals["files"].Get("forecast.delta_seconds").Float(), 1)
	e.add("files", filesLeast*seconds, filesMost*seconds, "their rehearsal")
	seconds = 0
	for _, step := range []string{"backup", "aliases", "config"} {
		seconds += rehearsals[step].Get("seconds").Float()
	}
	e.add("backup, alias files, cut-over", smallLeast*seconds, smallMost*seconds, "their rehearsals")
	e.add("Ansible", calls*callLeast, calls*callMost, fmt.Sprintf("%d calls", calls))
	e.earlier("the server's start", rehearsals["service"].Get("earlier.starts"))
	return e
}

// add adds a part.
func (e *expected) add(what string, least, most float64, from string) {
	e.Parts = append(e.Parts, span{what, human.Tenths(least), human.Tenths(most), from})
	e.Least, e.Most = human.Tenths(e.Least+least), human.Tenths(e.Most+most)
}

// earlier adds what takes as long as before, or half as much more on a busy machine.
func (e *expected) earlier(what string, before gjson.Result) {
	times := before.Array()
	if len(times) == 0 {
		e.Unknown = append(e.Unknown, what)
		return
	}
	least, most := times[0].Float(), times[0].Float()
	for _, t := range times {
		least, most = min(least, t.Float()), max(most, t.Float())
	}
	e.add(what, least/1.5, 1.5*most+1, human.Count(len(times), "earlier one", "earlier ones")+" in the unit's journal")
}

// lines tell it, below a word for what it is.
func (e *expected) lines(word string) []string {
	lines := []string{word + ": " + human.Seconds(e.Least) + " to " + human.Seconds(e.Most)}
	if len(e.Unknown) > 0 {
		lines = append(lines, "  and "+strings.Join(e.Unknown, " and ")+", of which no journal tells")
	}
	return lines
}
