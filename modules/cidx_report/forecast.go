package report

import (
	"github.com/tidwall/gjson"

	"cidx-cluster/modules/internal/human"
)

// forecasts sums up the rehearsal, the one before a real run too, and beside it
// what a migration has moved.
func (d *document) forecasts(all []reply) {
	if d.further() {
		return
	}
	told := all
	if d.Outcome != rehearsed {
		told = only(all, func(r reply) bool { return r.Get("check_mode").Bool() })
	}
	if d.Outcome != rehearsed && (len(of(told, "database")) == 0 || len(of(told, "files")) == 0) {
		return
	}
	d.Forecast = &forecast{moved: summed(told), Downtime: expect(all)}
	if d.Outcome != migrated || d.Check {
		return
	}
	d.Fact = &moved{Rows: d.Database.Rows, Bytes: d.TotalBytes(), Files: d.TotalFiles(), Aliases: d.Aliases.Updated}
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
func summed(replies []reply) moved {
	var m moved
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

// compared is a line of forecast and fact.
type compared struct{ What, Forecast, Fact, From string }

// Compared sets the forecast beside what came of it.
func (d *document) Compared() []compared {
	if d.Forecast == nil {
		return nil
	}
	fact := d.Fact
	if fact == nil {
		fact = &moved{}
	}
	list := []compared{
		{"rows to PostgreSQL", human.Number(d.Forecast.Rows), human.Number(fact.Rows), ""},
		{"files on the share", human.Number(d.Forecast.Files), human.Number(fact.Files), ""},
		{"their size", human.Bytes(d.Forecast.Bytes), human.Bytes(fact.Bytes), ""},
		{"alias files to rewrite", human.Number(d.Forecast.Aliases), human.Number(fact.Aliases), ""},
		{"copy while the server answers", known(d.Forecast.Warm), known(fact.Warm), ""},
	}
	if e := d.Forecast.Downtime; e != nil {
		list = append(list, compared{"downtime", human.Seconds(e.Least) + " to " + human.Seconds(e.Most), known(d.Downtime.Seconds), "the sum of these"})
		for _, p := range e.Parts {
			list = append(list, compared{"– " + p.What, human.Seconds(p.Least) + " to " + human.Seconds(p.Most), "", p.From})
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

// known is a time, or that it is not known.
func known(seconds float64) string {
	if seconds == 0 {
		return "not known"
	}
	return human.Seconds(seconds)
}
