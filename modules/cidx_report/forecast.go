package report

import (
	"cidx-cluster/modules/internal/document"
	"slices"
)

// forecasts sums up the rehearsal, the one before a real run too, and beside it
// what a migration has moved.
func (d *gathering) forecasts(all []reply) {
	if d.Further() {
		return
	}
	told := all
	if d.Outcome != document.Rehearsed {
		told = slices.DeleteFunc(slices.Clone(all), func(r reply) bool { return !r.Get("check_mode").Bool() })
		if len(of(told, "database")) == 0 || len(of(told, "files")) == 0 {
			return
		}
	}
	d.Forecast = &document.Forecast{Moved: summed(told), Downtime: expect(all)}
	if d.Outcome != document.Migrated || d.Check {
		return
	}
	total := d.Total()
	d.Fact = &document.Moved{Rows: d.Database.Rows, Bytes: total.Bytes, Files: total.Files, Aliases: d.Aliases.Updated}
	for _, r := range of(all, "files") {
		if r.Get("phase").Str == "warm" && !r.Get("check_mode").Bool() {
			d.Fact.Warm += r.Get("seconds").Float()
		}
	}
}

// summed is what replies say of rows, files and aliases.
func summed(replies []reply) document.Moved {
	var m document.Moved
	for _, r := range replies {
		switch r.step() {
		case "database":
			m.Rows = r.Get("rows").Int()
		case "aliases":
			m.Aliases = r.Get("updated").Int()
		case "files":
			m.Warm = max(m.Warm, r.Get("forecast.warm_seconds").Float())
		}
	}
	for _, p := range parts(of(replies, "files")) {
		m.Bytes, m.Files = m.Bytes+p.Bytes, m.Files+p.Files
	}
	return m
}
