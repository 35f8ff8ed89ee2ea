package report

import (
	"fmt"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/human"
)

// How a step after the stop compares with its rehearsal: what was warm is
// looked through again, and at worst done once more from the start, on a disk
// that is slower than it was.
const (
	databaseLeast, databaseMost = 0.05, 1.5
	filesLeast, filesMost       = 0.3, 3 // the delta, and the proof directly before the cut-over
	smallLeast, smallMost       = 0.3, 3
)

// calls of modules are made between stop and health (roles move, start and
// verify); Ansible needs that many seconds for each, more on slow controllers
// and connections.
const (
	calls                 = 10
	callLeast, callMost   = 0.05, 4
	copyFastest, copySlow = 2e9, 50e6 // bytes a second: the private copy of the databases
)

// expect is nil where no rehearsal has gone through.
func expect(replies []reply) *document.Expected {
	e := &document.Expected{Parts: []document.Span{}, Unknown: []string{}}
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
	earlier(e, "the server's stop", rehearsals["service"].Get("earlier.stops"))
	e.Add("private copies of the databases", room.Float()/copyFastest, room.Float()/copySlow, "their size")
	seconds := rehearsals["database"].Get("seconds").Float()
	e.Add("databases", databaseLeast*seconds, databaseMost*seconds, "their rehearsal")
	seconds = rehearsals["files"].Get("forecast.delta_seconds").Float()
	e.Add("files", filesLeast*seconds, filesMost*max(seconds, 1), "their rehearsal")
	seconds = 0
	for _, step := range []string{"backup", "aliases", "config"} {
		seconds += rehearsals[step].Get("seconds").Float()
	}
	e.Add("backup, alias files, cut-over", smallLeast*seconds, smallMost*seconds, "their rehearsals")
	e.Add("Ansible", calls*callLeast, calls*callMost, fmt.Sprintf("%d calls", calls))
	earlier(e, "the server's start", rehearsals["service"].Get("earlier.starts"))
	return e
}

// earlier adds what takes as long as before, or half as much more on a busy machine.
func earlier(e *document.Expected, what string, before gjson.Result) {
	times := before.Array()
	if len(times) == 0 {
		e.Unknown = append(e.Unknown, what)
		return
	}
	least, most := times[0].Float(), times[0].Float()
	for _, t := range times {
		least, most = min(least, t.Float()), max(most, t.Float())
	}
	e.Add(what, least/1.5, 1.5*most+1, human.Count(len(times), "earlier one", "earlier ones")+" in the unit's journal")
}
