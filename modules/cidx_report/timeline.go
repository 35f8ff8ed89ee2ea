package report

import (
	"encoding/json"
	"time"

	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
	"cidx-cluster/modules/internal/human"
	"cidx-cluster/modules/internal/journal"
)

// current are the entries that this report is about: those since the last
// finished migration or rollback, failed attempts included. A run that had
// nothing to do tells of the last migration instead.
func current(entries []journal.Entry, outcome string) []journal.Entry {
	start, before := 0, 0
	for i, e := range entries {
		if e.Module == name && (e.Event == document.Migrated || e.Event == document.RolledBack) {
			start, before = i+1, start
		}
	}
	if outcome == document.Already || outcome == document.Verified || outcome == document.Accepted {
		return entries[before:]
	}
	return entries[start:]
}

// downtimeOf is from the order to stop to the proof of health.
func downtimeOf(entries []journal.Entry, replies []reply) document.Downtime {
	var d document.Downtime
	var started *time.Time
	for _, e := range entries {
		if e.Module != "cidx_service" {
			continue
		}
		at := e.Time
		switch e.Event {
		case "stopping", "stopped":
			if d.Stopped == nil || started != nil {
				d.Stopped, started = &at, nil
			}
			d.Started = nil
		case "released":
			if started == nil { // a stop that failed was taken back: the server ran all the time
				d.Stopped, d.Started = nil, nil
			}
		case "starting":
			d.Started = &at
		case "started":
			d.Started, started = &at, &at
		}
	}
	if d.Stopped == nil || started == nil {
		return d
	}
	for _, r := range of(replies, "verify") {
		if healthy := r.Get("healthy_seconds"); healthy.Exists() && !r.Get("check_mode").Bool() {
			at := started.Add(time.Duration(healthy.Float() * float64(time.Second)))
			d.Healthy, d.Seconds = &at, human.Tenths(at.Sub(*d.Stopped).Seconds())
		}
	}
	return d
}

// passOf sums what one pass of the copy has done over its parts.
func passOf(e journal.Entry) document.Pass {
	p := document.Pass{Time: e.Time, Phase: e.Event}
	raw, _ := json.Marshal(e.Data) // which was read as JSON
	for _, v := range gjson.GetBytes(raw, "parts").Map() {
		p.Files, p.Bytes = p.Files+v.Get("files").Int(), p.Bytes+v.Get("bytes").Int()
		p.Deleted += v.Get("deleted").Int()
	}
	return p
}
