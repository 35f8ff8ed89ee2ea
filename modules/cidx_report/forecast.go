package report

import (
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/document"
)

// forecasts sums up the rehearsal, the one before a real run too, and beside it
// what a migration has moved.
func (d *gathering) forecasts(all []reply) {
	if d.Further() {
		return
	}
	told := all
	if d.Outcome != document.Rehearsed {
		told = only(all, func(r reply) bool { return r.Get("check_mode").Bool() })
	}
	if d.Outcome != document.Rehearsed && (len(of(told, "database")) == 0 || len(of(told, "files")) == 0) {
		return
	}
	d.Forecast = &document.Forecast{Moved: summed(told), Downtime: expect(all)}
	if d.Outcome != document.Migrated || d.Check {
		return
	}
	d.Fact = &document.Moved{Rows: d.Database.Rows, Bytes: d.TotalBytes(), Files: d.TotalFiles(), Aliases: d.Aliases.Updated}
	for _, r := range of(all, "files") {
		if r.Get("phase").Str == "warm" && !r.Get("check_mode").Bool() {
			d.Fact.Warm += r.Get("seconds").Float()
		}
	}
}

// only are the replies that which picks.
func only(list []reply, which func(reply) bool) []reply {
	var picked []reply
	for _, r := range list {
		if which(r) {
			picked = append(picked, r)
		}
	}
	return picked
}

// summed is what replies say of rows, files and aliases; of one part of the files
// the last reply counts.
func summed(replies []reply) document.Moved {
	var m document.Moved
	for _, r := range of(replies, "database") {
		m.Rows = r.Get("rows").Int()
	}
	for _, r := range of(replies, "aliases") {
		m.Aliases = r.Get("updated").Int()
	}
	parts := map[string]gjson.Result{}
	for _, r := range of(replies, "files") {
		m.Warm = max(m.Warm, r.Get("forecast.warm_seconds").Float())
		r.Get("parts").ForEach(func(name, part gjson.Result) bool {
			parts[name.Str] = part
			return true
		})
	}
	for _, p := range parts {
		m.Bytes, m.Files = m.Bytes+p.Get("bytes").Int(), m.Files+p.Get("files").Int()
	}
	return m
}
